//! One method's rule, put together once.

use std::collections::HashSet;

use mesh_auth::User;
use mesh_policy::Owner;

/// The permission of users who operate the platform.
const OPERATOR: &str = "operator";

/// Who may call a method that not everybody may call. The default is nobody.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    access: mesh_policy::Access,
    /// Services that declare the call, if the rule is for them.
    callers: HashSet<String>,
}

/// How much a user may do with a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Everything,
    /// What is asked for the user whose id is in the field of this number.
    OfOwner(u32),
    /// What belongs to the user, which the handler knows.
    OnlyOfUser,
}

impl Rule {
    /// The rule as the contract says it; none if that is everybody.
    pub(super) fn of(
        access: &mesh_policy::Access,
        callers: Option<&HashSet<String>>,
    ) -> Option<Self> {
        let callers = callers.filter(|_| access.service).cloned().unwrap_or_default();
        (!access.public).then(|| Self { access: access.clone(), callers })
    }

    pub(super) fn is_for_service(&self, peer: &str, operators: &[String]) -> bool {
        self.callers.contains(peer)
            || self.access.operator && operators.iter().any(|operator| operator == peer)
    }

    pub(super) fn is_for_users(&self) -> bool {
        self.access.is_for_users()
    }

    /// What the rule lets a user do; nothing if it does not name them.
    pub(super) fn judge(&self, user: &User) -> Option<Verdict> {
        let access = &self.access;
        let holds = |permission: &str| user.has_permission(permission);
        if access.signed_in
            || access.permissions.iter().any(|permission| holds(permission))
            || access.operator && holds(OPERATOR)
        {
            return Some(Verdict::Everything);
        }
        access.owner.as_ref().map(|owner| match owner {
            Owner::Field { number, .. } => Verdict::OfOwner(*number),
            Owner::Resource => Verdict::OnlyOfUser,
        })
    }
}
