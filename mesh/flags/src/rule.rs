//! What somebody has said of a flag: for whom it is on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// So many users can be named.
const MOST_USERS: usize = 100;
/// So long a user's name can be.
const LONGEST_USER: usize = 100;

/// For whom a flag is on: for whoever is named so, and for a percentage of all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Rule {
    percent: u8,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    users: BTreeMap<String, bool>,
}

/// A rule that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// Not 0 to 100.
    #[error("{0} is no percentage: 0 to 100")]
    Percent(u8),
    /// Nobody is called so.
    #[error("`{0}` is no user: 1 to {LONGEST_USER} characters without spaces")]
    User(String),
    /// More than a rule is for.
    #[error("at most {MOST_USERS} users can be named: use a percentage")]
    TooManyUsers,
}

/// As it is kept. Of a rule that says more than this program knows nothing is taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    percent: u8,
    #[serde(default)]
    users: BTreeMap<String, bool>,
}

impl TryFrom<Written> for Rule {
    type Error = BadRule;

    fn try_from(written: Written) -> Result<Self, BadRule> {
        let rule = Self::percent(written.percent)?;
        written.users.into_iter().try_fold(rule, |rule, (user, on)| rule.user(&user, Some(on)))
    }
}

impl Rule {
    /// The same for everybody.
    pub fn everybody(on: bool) -> Self {
        Self { percent: if on { 100 } else { 0 }, users: BTreeMap::new() }
    }

    /// On for so many of a hundred users, and for nobody who is no user, unless for all.
    ///
    /// # Errors
    /// If it is more than 100.
    pub fn percent(percent: u8) -> Result<Self, BadRule> {
        if percent > 100 {
            return Err(BadRule::Percent(percent));
        }
        Ok(Self { percent, users: BTreeMap::new() })
    }

    /// The same for those who are named, another percentage for all others.
    ///
    /// # Errors
    /// If it is more than 100.
    pub fn with_percent(&self, percent: u8) -> Result<Self, BadRule> {
        Ok(Self { users: self.users.clone(), ..Self::percent(percent)? })
    }

    /// On or off for `user`, or none of both: then as for all others.
    ///
    /// # Errors
    /// If nobody can be called so, or too many are named.
    pub fn user(mut self, user: &str, on: Option<bool>) -> Result<Self, BadRule> {
        let fits = |c: char| !c.is_whitespace() && !c.is_control();
        if user.is_empty() || user.len() > LONGEST_USER || !user.chars().all(fits) {
            return Err(BadRule::User(user.to_owned()));
        }
        match on {
            Some(on) => self.users.insert(user.to_owned(), on),
            None => self.users.remove(user),
        };
        if self.users.len() > MOST_USERS {
            return Err(BadRule::TooManyUsers);
        }
        Ok(self)
    }

    /// For how many of a hundred it is on.
    pub fn of_hundred(&self) -> u8 {
        self.percent
    }

    /// Those for whom it is on or off whatever the percentage.
    pub fn users(&self) -> &BTreeMap<String, bool> {
        &self.users
    }

    /// Whether `flag`, by its full name, is on for `user`. The answer is the same in every process, and
    /// remains when the percentage grows, once it is yes. Which users are the first differs from flag
    /// to flag.
    pub fn decide(&self, flag: &str, user: Option<&str>) -> bool {
        match (user, self.percent) {
            (Some(user), _) if self.users.contains_key(user) => self.users[user],
            (_, 0) => false,
            (_, 100) => true,
            (Some(user), percent) => place(flag, user) < percent,
            (None, _) => false,
        }
    }
}

/// Where `user` stands among a hundred: 0 to 99, everywhere and for ever the same. Who the first are
/// differs by what it is `of`, such as a flag.
pub fn place(of: &str, user: &str) -> u8 {
    let digest = Sha256::new().chain_update(of).chain_update([0]).chain_update(user).finalize();
    let sum = digest.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    u8::try_from(sum % 100).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn where_a_user_stands_never_changes() {
        // Written down: another hash would move every user of every flag at once.
        let places = ["ada", "grace", "joan"].map(|user| place("pages.stock", user));
        assert_eq!(places, [23, 89, 59]);
        assert_ne!(place("pages.other", "ada"), place("pages.stock", "ada"));
    }

    #[test]
    fn a_percentage_is_that_of_the_users() {
        for percent in [1, 25, 50, 99] {
            let rule = Rule::percent(percent).unwrap();
            let users = (0..10_000).map(|number| format!("user-{number}"));
            let on = users.filter(|user| rule.decide("a.b", Some(user))).count();
            let off_by = (on as i64 - i64::from(percent) * 100).abs();
            assert!(off_by < 200, "{percent} %: {on} of 10,000");
        }
    }

    #[test]
    fn who_is_named_is_not_counted_and_nobody_is_no_user() {
        let half = Rule::percent(50).unwrap();
        let users: Vec<_> = (0..100).map(|number| format!("user-{number}")).collect();
        for user in &users {
            for on in [true, false] {
                let named = half.clone().user(user, Some(on)).unwrap();
                assert_eq!(named.decide("a.b", Some(user)), on);
                assert_eq!(named.clone().user(user, None).unwrap(), half);
                let none = named.with_percent(0).unwrap();
                assert_eq!(none.decide("a.b", Some(user)), on, "named still");
            }
        }
        assert!(!half.decide("a.b", None));
        assert!(Rule::everybody(true).decide("a.b", None));
    }

    #[test]
    fn what_cannot_be_is_refused_from_whoever_writes_it() {
        let read = |text: &str| serde_json::from_str::<Rule>(text).map_err(|it| it.to_string());
        let half = Rule::percent(50).unwrap().user("ada", Some(true)).unwrap();
        assert_eq!(read(&serde_json::to_string(&half).unwrap()), Ok(half.clone()));

        for (text, said) in [
            (r#"{"percent": 101}"#, "101 is no percentage"),
            (r#"{"percent": -1}"#, "invalid value"),
            (r#"{"percent": 1, "users": {"a b": true}}"#, "`a b` is no user"),
            (r#"{"percent": 1, "users": {"": true}}"#, "is no user"),
            (r#"{"percent": 1, "countries": ["at"]}"#, "unknown field `countries`"),
            (r#"{"users": {}}"#, "missing field `percent`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let all = (0..MOST_USERS).try_fold(half, |rule, n| rule.user(&format!("u{n}"), Some(true)));
        assert_eq!(all, Err(BadRule::TooManyUsers));
    }

    proptest! {
        #[test]
        fn more_percent_takes_nobody_away(user in ".{1,40}", flag in "[a-z]{1,9}", a in 0_u8..=100, b in 0_u8..=100) {
            let (less, more) = (a.min(b), a.max(b));
            let decide = |percent| Rule::percent(percent).unwrap().decide(&flag, Some(&user));
            prop_assert!(decide(more) >= decide(less));
        }
    }
}
