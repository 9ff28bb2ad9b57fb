// Python's strftime for the codes chat templates use, in English whatever the locale of the host,
// because engines run with LANG=C. Used by template-runtime.ts for strftime_now.

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const;
const DAYS = [
  'Sunday',
  'Monday',
  'Tuesday',
  'Wednesday',
  'Thursday',
  'Friday',
  'Saturday',
] as const;
const DAY_MS = 86_400_000;

/** Formats local time; unknown codes stay as they are. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, dash: string, code: string) => {
    const text = field(date, code);
    if (text === null) return whole;
    return dash === '' ? text : text.replace(/^0+(?=\d)/, '');
  });
}

function field(date: Date, code: string): string | null {
  const two = (value: number): string => String(value).padStart(2, '0');
  switch (code) {
    case 'Y':
      return String(date.getFullYear()).padStart(4, '0');
    case 'y':
      return two(date.getFullYear() % 100);
    case 'm':
      return two(date.getMonth() + 1);
    case 'd':
      return two(date.getDate());
    case 'H':
      return two(date.getHours());
    case 'I':
      return two(date.getHours() % 12 || 12);
    case 'M':
      return two(date.getMinutes());
    case 'S':
      return two(date.getSeconds());
    case 'p':
      return date.getHours() < 12 ? 'AM' : 'PM';
    case 'B':
      return MONTHS[date.getMonth()] ?? '';
    case 'b':
      return (MONTHS[date.getMonth()] ?? '').slice(0, 3);
    case 'A':
      return DAYS[date.getDay()] ?? '';
    case 'a':
      return (DAYS[date.getDay()] ?? '').slice(0, 3);
    case 'j':
      return String(dayOfYear(date)).padStart(3, '0');
    case 'F':
      return `${field(date, 'Y')}-${field(date, 'm')}-${field(date, 'd')}`;
    case 'T':
      return `${field(date, 'H')}:${field(date, 'M')}:${field(date, 'S')}`;
    case '%':
      return '%';
    default:
      return null;
  }
}

function dayOfYear(date: Date): number {
  const midnight = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return (midnight - Date.UTC(date.getFullYear(), 0, 1)) / DAY_MS + 1;
}
