//! `--name value` pairs of one subcommand, checked against the names it knows.

pub struct Arguments {
    values: Vec<(String, String)>,
}

impl Arguments {
    pub fn parse(names: &[&str], mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut values = Vec::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").filter(|name| names.contains(name));
            let Some(name) = name else {
                return Err(format!(
                    "unknown option {word}; there are --{}",
                    names.join(", --")
                ));
            };
            let value = words
                .next()
                .ok_or_else(|| format!("{word} needs a value"))?;
            values.push((name.to_owned(), value));
        }
        Ok(Self { values })
    }

    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        let own = self.values.iter().rev().find(|(known, _)| known == name);
        own.map_or(default, |(_, value)| value)
    }

    pub fn number(&self, name: &str, default: u64, least: u64, most: u64) -> Result<u64, String> {
        let text = self.text(name, "");
        let value = if text.is_empty() {
            Some(default)
        } else {
            text.parse().ok()
        };
        value
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(|| format!("--{name} {text}: a number from {least} to {most}"))
    }

    /// A comma-separated list of numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<u64>, String> {
        let words = self
            .text(name, "")
            .split(',')
            .filter(|word| !word.is_empty());
        words
            .map(|word| {
                word.parse()
                    .map_err(|_| format!("--{name}: {word} is no number"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = line.split(' ').filter(|word| !word.is_empty());
        Arguments::parse(&["port", "pids"], words.map(str::to_owned))
    }

    #[test]
    fn reads_known_options_and_bounds_numbers() {
        let given = parse("--port 80 --pids 1,2").unwrap();
        assert_eq!(given.number("port", 1, 1, 100), Ok(80));
        assert!(given.number("port", 1, 1, 79).is_err());
        assert_eq!(given.numbers("pids"), Ok(vec![1, 2]));
        assert_eq!(parse("").unwrap().number("port", 7, 1, 9), Ok(7));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(parse("--prot 80").is_err());
        assert!(parse("--port").is_err());
        assert!(parse("--port x").unwrap().number("port", 1, 1, 9).is_err());
    }
}
