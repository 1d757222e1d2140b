/** The day on which all conversations take place: the one that Llama 3's own templates fall back on, a Friday. */
export const conversationDay = "2024-07-26";

/** Of that day at midnight, as Python's `strftime` writes them in English. */
const parts: Record<string, string> = {
  ...{
    "%Y": "2024",
    "%y": "24",
    "%m": "07",
    "%-m": "7",
    "%B": "July",
    "%b": "Jul",
    "%d": "26",
    "%-d": "26",
    "%e": "26",
  },
  ...{ "%A": "Friday", "%a": "Fri", "%j": "208", "%H": "00", "%I": "12", "%M": "00", "%S": "00", "%p": "AM" },
  ...{ "%F": conversationDay, "%T": "00:00:00", "%%": "%" },
};

/** What templates call `strftime_now`. */
export const now = (format: string): string => format.replace(/%-?[A-Za-z%]/g, (part) => parts[part] ?? part);
