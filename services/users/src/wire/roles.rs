//! Requests about roles.

use mesh_log::requests::digest;
use mesh_rpc::{Fields, Invalid};
use shop::users::v1 as proto;
use uuid::Uuid;

use super::key;
use crate::app::{ChangeRole, Known};

const LONGEST_ROLE: usize = 40;

pub fn list_grants(request: &proto::ListRoleGrantsRequest) -> Result<Uuid, Invalid> {
    let mut fields = Fields::default();
    let user = fields.uuid("user_id", &request.user_id);
    fields.finish(user)
}

pub fn grant_role(request: &proto::GrantRoleRequest) -> Result<ChangeRole, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.RolesService/GrantRole";
    let key = key(&mut fields, method, &request.request_id);
    let user = fields.uuid("user_id", &request.user_id);
    let role = fields.text("role", &request.role, 1..=LONGEST_ROLE);
    fields.finish(ChangeRole { key, digest: digest(request), user, role, give: true })
}

pub fn revoke_role(request: &proto::RevokeRoleRequest) -> Result<ChangeRole, Invalid> {
    let mut fields = Fields::default();
    let method = "shop.users.v1.RolesService/RevokeRole";
    let key = key(&mut fields, method, &request.request_id);
    let user = fields.uuid("user_id", &request.user_id);
    let role = fields.text("role", &request.role, 1..=LONGEST_ROLE);
    fields.finish(ChangeRole { key, digest: digest(request), user, role, give: false })
}

pub fn known_roles(known: Known) -> proto::ListRolesResponse {
    let roles = known.roles.into_iter();
    let permissions = known.permissions.into_iter();
    proto::ListRolesResponse {
        roles: roles
            .map(|(role, description, permissions)| proto::Role { role, description, permissions })
            .collect(),
        permissions: permissions
            .map(|(permission, description)| proto::Permission { permission, description })
            .collect(),
    }
}

pub fn grants(user: Uuid, roles: Vec<String>) -> Vec<proto::RoleGrant> {
    let user_id = user.to_string();
    let grant = |role| proto::RoleGrant { user_id: user_id.clone(), role };
    roles.into_iter().map(grant).collect()
}
