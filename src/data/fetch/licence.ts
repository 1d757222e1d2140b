/** Licences under which everybody may use data for everything, as far as their names tell. */
const free = /^(the )?(MIT|Apache|AFL|BSD|ISC|CC0|CC[ -]BY\b|GFDL|ODC|Open Data Commons|Unlicense|public domain)/i;
const bound = /\bN[CD]\b|non-?commercial|no ?derivatives|research|academic|evaluation only/i;

/** Whether a licence lets everybody use the data for everything; one that is not known as such does not. */
export function isFree(licence: string): boolean {
  return free.test(licence.trim()) && !bound.test(licence);
}
