//! Who may call an RPC, and what a field holds that is not for everybody's eyes.

mod callers;
pub(crate) mod read;
mod served;

use std::{fmt, sync::Arc};

pub use callers::Callers;
pub use served::Served;

/// Who may call an RPC: whoever one part of it fits. At least one part is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Everybody, signed in or not. Then nothing else is said.
    pub public: bool,
    /// Every user.
    pub signed_in: bool,
    /// The user whom the request is about.
    pub owner: Option<Owner>,
    /// Users with one of these permissions.
    pub permissions: Vec<Arc<str>>,
    /// Services that declare the call.
    pub service: bool,
    /// Operators: users and programs.
    pub operator: bool,
}

/// How it is known whom a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Their id is in a string field of the request.
    Field {
        /// The field's name.
        name: Arc<str>,
        /// Its number.
        number: u32,
    },
    /// The thing that is asked for belongs to them: who keeps it looks.
    Resource,
}

/// What a field holds that is not for everybody's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// What a person is known by.
    Personal,
    /// What gives power to whoever knows it.
    Secret,
}

impl Access {
    /// Everybody.
    pub const PUBLIC: Self = Self {
        public: true,
        signed_in: false,
        owner: None,
        permissions: Vec::new(),
        service: false,
        operator: false,
    };

    /// Whether any user can fit, be it one with a permission.
    pub fn is_for_users(&self) -> bool {
        self.signed_in || self.owner.is_some() || !self.permissions.is_empty() || self.operator
    }
}

impl fmt::Display for Access {
    /// As tables and documents show it: `owner of customer_id, or permission orders.manage`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let flags = [(self.public, "everybody"), (self.signed_in, "every user")];
        parts.extend(flags.iter().filter(|(said, _)| *said).map(|(_, it)| (*it).to_owned()));
        match &self.owner {
            Some(Owner::Field { name, .. }) => parts.push(format!("the user in `{name}`")),
            Some(Owner::Resource) => parts.push("the user whose it is".to_owned()),
            None => {}
        }
        parts.extend(self.permissions.iter().map(|it| format!("users with `{it}`")));
        let flags = [(self.service, "services that declare it"), (self.operator, "operators")];
        parts.extend(flags.iter().filter(|(said, _)| *said).map(|(_, it)| (*it).to_owned()));
        f.write_str(&parts.join(", "))
    }
}

impl Sensitivity {
    /// Its name in documents: `personal` or `secret`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Secret => "secret",
        }
    }
}

#[cfg(test)]
mod tests;
