/** The day on which conversations take place unless a variant says another: the one that Llama 3's own templates fall back on. */
export const conversationDay = "2024-07-26";

const english = (day: Date, form: Intl.DateTimeFormatOptions) =>
  day.toLocaleDateString("en", { ...form, timeZone: "UTC" });
const two = (count: number, pad = "0") => String(count).padStart(2, pad);

/** Of a day at midnight, as Python's `strftime` writes them in English. */
const parts: Record<string, (day: Date) => string> = {
  "%Y": (day) => String(day.getUTCFullYear()),
  "%y": (day) => two(day.getUTCFullYear() % 100),
  "%m": (day) => two(day.getUTCMonth() + 1),
  "%-m": (day) => String(day.getUTCMonth() + 1),
  "%B": (day) => english(day, { month: "long" }),
  "%b": (day) => english(day, { month: "short" }),
  "%d": (day) => two(day.getUTCDate()),
  "%-d": (day) => String(day.getUTCDate()),
  "%e": (day) => two(day.getUTCDate(), " "),
  "%A": (day) => english(day, { weekday: "long" }),
  "%a": (day) => english(day, { weekday: "short" }),
  "%j": (day) => String((day.getTime() - Date.UTC(day.getUTCFullYear(), 0, 0)) / 86_400_000).padStart(3, "0"),
  "%F": (day) => day.toISOString().slice(0, 10),
};
const midnight: Record<string, string> = {
  ...{ "%H": "00", "%I": "12", "%M": "00", "%S": "00", "%p": "AM", "%T": "00:00:00", "%%": "%" },
};

/** What templates call `strftime_now`; `day`: YYYY-MM-DD. */
export const strftime = (format: string, day: string): string =>
  format.replace(/%-?[A-Za-z%]/g, (part) => parts[part]?.(new Date(`${day}T00:00:00Z`)) ?? midnight[part] ?? part);

/** Whether it is a day of the calendar, YYYY-MM-DD. */
export const isDay = (text: string): boolean =>
  /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text);
