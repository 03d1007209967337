//! No event was given up.

use super::super::facts::Facts;
use super::super::{Check, Options};

pub fn check(facts: &Facts, options: &Options) -> Check {
    let mut check = Check::new("dead letters", "databases");
    check.checked = facts.letter_boxes;
    check.figures = format!("{} dead letters", facts.dead_letters.len());
    if options.dead_letters_allowed {
        check.figures.push_str(", allowed");
        return check;
    }
    for letter in &facts.dead_letters {
        let row = || format!("{} {} at {}", letter.subject, letter.event, letter.service);
        let problem = || format!("from {}, {}: {}", letter.stream, letter.reason, letter.error);
        check.find(row, problem);
    }
    check
}
