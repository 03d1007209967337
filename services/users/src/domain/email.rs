//! Addresses by which people sign in.

use std::fmt;

const LONGEST: usize = 254;
const LONGEST_LOCAL: usize = 64;

/// An e-mail address in lower case. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// The address that this text is, if it looks like one. Whether mail arrives there only a mail
    /// can tell.
    pub fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let visible = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
        let fits = text.len() <= LONGEST && (1..=LONGEST_LOCAL).contains(&local.len());
        let is_domain = !domain.is_empty()
            && domain
                .split('.')
                .all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
            && domain.chars().all(|c| c.is_alphanumeric() || c == '.' || c == '-');
        let email = Self(text.to_lowercase());
        // Lower case may be longer.
        (visible && fits && is_domain && email.0.len() <= LONGEST).then_some(email)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Email;

    #[test]
    fn an_address_is_known_in_whatever_case() {
        let ada = Email::parse("Ada.L@Example.COM").unwrap();
        assert_eq!(ada.as_str(), "ada.l@example.com");
        assert_eq!(format!("{ada:?}"), "Email(…)");
    }

    #[test]
    fn an_address_has_a_name_and_a_domain() {
        for good in ["a@b", "a+b@c.example", "ü@bücher.example"] {
            assert!(Email::parse(good).is_some(), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        let longer = format!("a@{}", "x.".repeat(130));
        for bad in
            ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b..c", "a@-b", "a\0@b", &long, &longer]
        {
            assert!(Email::parse(bad).is_none(), "{bad:?}");
        }
    }
}
