//! The numbers by which steps are known in what is stored.

use crate::domain::{Action, Undo};

/// In the order of their numbers, from 1.
pub const ACTIONS: [Action; 6] = [
    Action::ReserveStock,
    Action::AuthorizePayment,
    Action::CreateShipment,
    Action::CommitStock,
    Action::CapturePayment,
    Action::ReleaseShipment,
];

/// In the order of their numbers, from 1.
pub const UNDOS: [Undo; 4] = [Undo::Payment, Undo::Sale, Undo::Shipment, Undo::Hold];

/// The number of `one` among `all`, from 1: 0 stands for none.
pub fn number<T: PartialEq>(all: &[T], one: &T) -> u32 {
    let place = all.iter().position(|each| each == one).expect("every variant is listed");
    u32::try_from(place + 1).expect("a handful")
}

/// Which of `all` has this number.
pub fn by_number<T>(all: &[T], number: u32) -> Option<&T> {
    all.get(usize::try_from(number).ok()?.checked_sub(1)?)
}
