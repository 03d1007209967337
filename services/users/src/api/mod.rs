//! The three services of `shop.users.v1`.

mod caller;
mod roles;
mod sessions;
mod status;
mod users;

pub use roles::Roles;
pub use sessions::Sessions;
pub use users::Users;
