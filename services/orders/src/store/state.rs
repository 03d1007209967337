//! The words for how an order stands.

use crate::domain::{Standing, State};

const STATES: [(State, &str); 9] = [
    (State::Pending, "PENDING"),
    (State::Confirmed, "CONFIRMED"),
    (State::Rejected, "REJECTED"),
    (State::Cancelling, "CANCELLING"),
    (State::Cancelled, "CANCELLED"),
    (State::Shipped, "SHIPPED"),
    (State::Delivered, "DELIVERED"),
    (State::Lost, "LOST"),
    (State::Returned, "RETURNED"),
];

/// The word for a state.
pub fn state_word(state: State) -> &'static str {
    let found = STATES.iter().find(|(each, _)| *each == state);
    found.expect("every state has a word").1
}

/// The word for what an order shows.
pub fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Parked => "NEEDS_ATTENTION",
        Standing::In(state) => state_word(state),
    }
}

/// How an order with this state's word stands; none if it is no state's.
pub fn standing_of(word: &str, parked: bool) -> Option<Standing> {
    let (state, _) = STATES.iter().find(|(_, each)| *each == word)?;
    Some(Standing::new(*state, parked))
}
