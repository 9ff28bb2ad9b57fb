//! Python's strftime for the codes chat templates use, in English whatever the locale of the host,
//! because engines run with LANG=C. Called by template.rs for `strftime_now`.

#![deny(clippy::indexing_slicing)]

/// A wall-clock time in the host's time zone; month and days from 0, Sunday first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    pub year: i32,
    pub month: usize,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub day_of_week: usize,
    pub day_of_year: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// The time now.
pub fn local_now() -> LocalTime {
    // SAFETY: all-zero is a valid `tm`: it holds integers and a pointer that may be null.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to valid objects of this frame; localtime_r keeps neither.
    unsafe {
        let now = libc::time(std::ptr::null_mut());
        libc::localtime_r(&raw const now, &raw mut tm);
    }
    let number = |value: libc::c_int| u32::try_from(value).unwrap_or(0);
    LocalTime {
        year: tm.tm_year + 1900,
        month: number(tm.tm_mon) as usize,
        day: number(tm.tm_mday),
        hour: number(tm.tm_hour),
        minute: number(tm.tm_min),
        second: number(tm.tm_sec),
        day_of_week: number(tm.tm_wday) as usize,
        day_of_year: number(tm.tm_yday),
    }
}

/// Formats local time; unknown codes stay as they are.
pub fn strftime(time: &LocalTime, format: &str) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (plain, code) = rest.split_at(at);
        out.push_str(plain);
        let dash = code.starts_with("%-");
        let name_at = if dash { 2 } else { 1 };
        let name = code.get(name_at..).and_then(|text| text.chars().next());
        match name.and_then(|name| field(time, name)) {
            Some(text) => {
                out.push_str(if dash { unpadded(&text) } else { &text });
                rest = code.get(name_at + 1..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = code.get(1..).unwrap_or_default();
            }
        }
    }
    out + rest
}

fn unpadded(text: &str) -> &str {
    let trimmed = text.trim_start_matches('0');
    if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
        return trimmed;
    }
    match text.len() - trimmed.len() {
        0 => text,
        zeros => text.get(zeros - 1..).unwrap_or(text),
    }
}

fn field(time: &LocalTime, name: char) -> Option<String> {
    let month = MONTHS.get(time.month).copied().unwrap_or_default();
    let day = DAYS.get(time.day_of_week).copied().unwrap_or_default();
    let short = |text: &str| text.get(..3).unwrap_or_default().to_owned();
    let hour = match time.hour % 12 {
        0 => 12,
        hour => hour,
    };
    Some(match name {
        'Y' => format!("{:04}", time.year),
        'y' => format!("{:02}", time.year % 100),
        'm' => format!("{:02}", time.month + 1),
        'd' => format!("{:02}", time.day),
        'H' => format!("{:02}", time.hour),
        'I' => format!("{hour:02}"),
        'M' => format!("{:02}", time.minute),
        'S' => format!("{:02}", time.second),
        'p' => if time.hour < 12 { "AM" } else { "PM" }.to_owned(),
        'B' => month.to_owned(),
        'b' => short(month),
        'A' => day.to_owned(),
        'a' => short(day),
        'j' => format!("{:03}", time.day_of_year + 1),
        'F' => format!("{:04}-{:02}-{:02}", time.year, time.month + 1, time.day),
        'T' => format!("{:02}:{:02}:{:02}", time.hour, time.minute, time.second),
        '%' => "%".to_owned(),
        _ => return None,
    })
}
