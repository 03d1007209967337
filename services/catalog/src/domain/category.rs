//! A shelf on which customers find products.

use time::OffsetDateTime;
use uuid::Uuid;

use super::Refusal;

const LONGEST_SLUG: usize = 60;

/// A shelf on which customers find products.
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    pub id: Uuid,
    pub slug: Slug,
    pub name: String,
    /// Grows with every change.
    pub version: i32,
    pub created: OffsetDateTime,
    pub updated: OffsetDateTime,
}

impl Category {
    /// Refuses if the caller saw another version than this.
    pub fn check(&self, seen: Option<i32>) -> Result<(), Refusal> {
        match seen {
            Some(version) if version != self.version => Err(Refusal::CategoryChanged),
            _ => Ok(()),
        }
    }

    /// Gives it another name. Returns whether that is news.
    pub fn rename(&mut self, name: String, now: OffsetDateTime) -> bool {
        if self.name == name {
            return false;
        }
        self.name = name;
        self.version += 1;
        self.updated = now;
        true
    }
}

/// A category's name in addresses: 1 to 60 of a-z, 0-9 and '-', with a letter or digit at both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug(String);

/// Which category a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Id(Uuid),
    Slug(Slug),
}

impl Named {
    /// What is said if there is none.
    pub fn not_found(&self) -> Refusal {
        match self {
            Self::Id(_) => Refusal::CategoryNotFound,
            Self::Slug(_) => Refusal::SlugNotFound,
        }
    }
}

impl Slug {
    /// The slug that this text is, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=LONGEST_SLUG).contains(&text.len());
        let ends = !text.starts_with('-') && !text.ends_with('-');
        (fits && ends && text.bytes().all(letters)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_short_and_of_few_letters() {
        for slug in ["a", "tea", "bags-and-bottles", "0", &"x".repeat(60)] {
            assert_eq!(Slug::parse(slug).unwrap().as_str(), slug);
        }
        for text in ["", "-", "-tea", "tea-", "Tea", "te a", "thé", "a\0", &"x".repeat(61)] {
            assert_eq!(Slug::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_new_name_is_a_new_version_and_the_same_name_is_not() {
        let (then, now) =
            (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH.replace_year(1990).unwrap());
        let slug = Slug::parse("tea").unwrap();
        let name = "Tea".to_owned();
        let mut tea =
            Category { id: Uuid::nil(), slug, name, version: 1, created: then, updated: then };

        assert!(!tea.rename("Tea".to_owned(), now));
        assert_eq!((tea.version, tea.updated), (1, then));
        assert!(tea.rename("Teas".to_owned(), now));
        assert_eq!((tea.version, tea.updated, tea.created), (2, now, then));
        assert_eq!((tea.check(None), tea.check(Some(2))), (Ok(()), Ok(())));
        assert_eq!(tea.check(Some(1)), Err(Refusal::CategoryChanged));
    }
}
