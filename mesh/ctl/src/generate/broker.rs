//! What an operator's nats-server needs: who may do what, as `up` has it.

use anyhow::Result;
use mesh_local::{Declaration, broker_users};

use super::Page;
use crate::caller;

/// Where these pages lie.
pub const FOLDER: &str = "nats/generated";

const HEAD: &str = "\
# Made by `cargo mesh gen` from services/*/mesh.toml and mesh/local/src/permissions.rs: do not edit.
#
# Who may do what at the broker: `authorization { include generated/users.conf }` in its configuration
# (nats/nats.conf). Passwords are environment variables of nats-server, each in double quotes:
#   NATS_PASSWORD_ORDERS='\"…\"'
# without them one of digits would be read as a number.
";

/// The users of these services, and the operator.
pub(super) fn pages(declarations: &[Declaration]) -> Result<Vec<Page>> {
    let users = broker_users(declarations, caller::NAME);
    let users = users.iter().map(|it| it.configuration(&format!("${}", variable(it.name()))));
    let text = format!("{HEAD}users: [\n{}]\n", users.collect::<String>());
    Ok(vec![Page { path: format!("{FOLDER}/users.conf"), text }])
}

/// The variable with a user's password.
pub(super) fn variable(user: &str) -> String {
    format!("NATS_PASSWORD_{}", user.to_ascii_uppercase().replace('-', "_"))
}
