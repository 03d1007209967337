//! What a card processor decides. Pure: no clock, no database, no wire.

mod card;
mod card_token;
mod charge;

pub use card::{Behaviour, CardNumber};
pub use card_token::CardToken;
pub use charge::{Authorization, Charge, Refusal, State};
