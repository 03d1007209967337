//! How many of a hundred calls a new version is given, one step after the other.

use std::fmt;
use std::str::FromStr;

/// Shares in percent that rise, and end with all calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps(Vec<u32>);

impl Steps {
    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }
}

impl FromStr for Steps {
    type Err = String;

    /// Reads `1,5,25,50,100`.
    fn from_str(text: &str) -> Result<Steps, String> {
        let mut steps: Vec<u32> = Vec::new();
        for word in text.split(',') {
            let step = word.trim().trim_end_matches('%').parse();
            let step: u32 = step.map_err(|_| format!("`{word}` is no whole number of percent"))?;
            if step == 0 || step > 100 {
                return Err(format!(
                    "{step} is no share of a hundred calls: 1 to 100 are expected"
                ));
            }
            if let Some(before) = steps.last().filter(|before| **before >= step) {
                return Err(format!("steps rise, and {step} comes after {before}"));
            }
            steps.push(step);
        }
        match steps.last() {
            Some(100) => Ok(Steps(steps)),
            last => Err(format!("the last step is 100, not {}", last.copied().unwrap_or_default())),
        }
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn steps_rise_to_a_hundred() {
        let steps: Steps = "1,5, 25%,50,100".parse().unwrap();

        assert_eq!(steps.iter().collect::<Vec<_>>(), [1, 5, 25, 50, 100]);
        assert_eq!(steps.to_string(), "1,5,25,50,100");
        assert_eq!("100".parse::<Steps>().unwrap().iter().count(), 1);
    }

    #[test]
    fn what_is_no_way_to_a_hundred_is_refused_with_the_reason() {
        for (bad, why) in [
            ("", "no whole number"),
            ("1,,100", "no whole number"),
            ("a,100", "`a` is no whole number"),
            ("0.5,100", "no whole number"),
            ("-1,100", "no whole number"),
            ("0,100", "0 is no share"),
            ("50,150", "150 is no share"),
            ("1,5,5,100", "5 comes after 5"),
            ("50,25,100", "25 comes after 50"),
            ("1,100,100", "100 comes after 100"),
            ("1,5", "the last step is 100, not 5"),
        ] {
            let said = bad.parse::<Steps>().unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }
}
