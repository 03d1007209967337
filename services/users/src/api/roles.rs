//! `shop.users.v1.RolesService`.

use shop::users::v1::{
    GrantRoleRequest, GrantRoleResponse, ListRoleGrantsRequest, ListRoleGrantsResponse,
    ListRolesRequest, ListRolesResponse, RevokeRoleRequest, RevokeRoleResponse,
    roles_service_server::RolesService,
};
use tonic::{Request, Response, Status};

use super::status::to_status;
use crate::{
    app::{self, App},
    wire,
};

/// Says who may do what.
pub struct Roles {
    pub app: App,
}

#[tonic::async_trait]
impl RolesService for Roles {
    async fn list_roles(
        &self,
        _: Request<ListRolesRequest>,
    ) -> Result<Response<ListRolesResponse>, Status> {
        let known = app::list_roles(&self.app).await.map_err(to_status)?;
        Ok(Response::new(wire::known_roles(known)))
    }

    async fn list_role_grants(
        &self,
        request: Request<ListRoleGrantsRequest>,
    ) -> Result<Response<ListRoleGrantsResponse>, Status> {
        let user = wire::list_grants(request.get_ref()).map_err(to_status)?;
        let roles = app::list_grants(&self.app, user).await.map_err(to_status)?;
        Ok(Response::new(ListRoleGrantsResponse { grants: wire::grants(user, roles) }))
    }

    async fn grant_role(
        &self,
        request: Request<GrantRoleRequest>,
    ) -> Result<Response<GrantRoleResponse>, Status> {
        let command = wire::grant_role(request.get_ref()).map_err(to_status)?;
        let grant = wire::grants(command.user, vec![command.role.clone()]).pop();
        app::change_role(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(GrantRoleResponse { grant }))
    }

    async fn revoke_role(
        &self,
        request: Request<RevokeRoleRequest>,
    ) -> Result<Response<RevokeRoleResponse>, Status> {
        let command = wire::revoke_role(request.get_ref()).map_err(to_status)?;
        app::change_role(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(RevokeRoleResponse {}))
    }
}
