// Files that the browser makes and keeps: tables as CSV.

const SHEET = /^[=+@\t\r-]/;

// A text that a spreadsheet would take for a formula gets an apostrophe; all that needs quotes has them.
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = SHEET.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// titles: of the columns; rows: lists of numbers, texts or null.
export const csv = (titles, rows) => [titles, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

export function save(name, text, type = "text/csv;charset=utf-8") {
  const address = URL.createObjectURL(new Blob([text], {type}));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// A file's name from words: what no system forbids in one.
export const fileName = (words, ending) => `${words.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "table"}.${ending}`;
