//! SQL, in the caller's transaction; one statement per function.

pub mod cards;
pub mod charges;
pub mod lost_answers;
