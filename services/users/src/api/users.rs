//! `shop.users.v1.UsersService`.

use shop::users::v1::{
    ChangePasswordRequest, ChangePasswordResponse, ConfirmEmailVerificationRequest,
    ConfirmEmailVerificationResponse, ConfirmPasswordResetRequest, ConfirmPasswordResetResponse,
    DeactivateUserRequest, DeactivateUserResponse, GetMailRequest, GetMailResponse, GetUserRequest,
    GetUserResponse, ListUsersRequest, ListUsersResponse, RegisterUserRequest,
    RegisterUserResponse, RequestEmailVerificationRequest, RequestEmailVerificationResponse,
    RequestPasswordResetRequest, RequestPasswordResetResponse, UpdatePreferencesRequest,
    UpdatePreferencesResponse, UpdateProfileRequest, UpdateProfileResponse,
    users_service_server::UsersService,
};
use tonic::{Request, Response, Status};

use super::{caller::address, status::to_status};
use crate::{
    app::{self, App},
    domain::Refusal,
    store, wire,
};

/// Answers calls about accounts.
pub struct Users {
    pub app: App,
}

#[tonic::async_trait]
impl UsersService for Users {
    async fn register_user(
        &self,
        request: Request<RegisterUserRequest>,
    ) -> Result<Response<RegisterUserResponse>, Status> {
        let command =
            wire::register_user(request.get_ref(), address(&request)).map_err(to_status)?;
        let user = app::register_user(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(RegisterUserResponse { user: Some(wire::user(user)) }))
    }

    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let id = wire::get_user(request.get_ref()).map_err(to_status)?;
        let found = store::get_user(self.app.db.pool(), id).await.map_err(to_status)?;
        let user = found.ok_or(Refusal::UserNotFound).map_err(to_status)?;
        Ok(Response::new(GetUserResponse { user: Some(wire::user(user)) }))
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let asked = wire::list_users(request.get_ref()).map_err(to_status)?;
        let (pool, only) = (self.app.db.pool(), asked.query);
        let listed = app::list_users(pool, only, asked.after, asked.size).await;
        let (users, more) = listed.map_err(to_status)?;
        Ok(Response::new(wire::users_page(&asked, users, more)))
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<UpdateProfileResponse>, Status> {
        let command = wire::update_profile(request.get_ref()).map_err(to_status)?;
        let user = app::update_user(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(UpdateProfileResponse { user: Some(wire::user(user)) }))
    }

    async fn update_preferences(
        &self,
        request: Request<UpdatePreferencesRequest>,
    ) -> Result<Response<UpdatePreferencesResponse>, Status> {
        let command = wire::update_preferences(request.get_ref()).map_err(to_status)?;
        let user = app::update_user(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(UpdatePreferencesResponse { user: Some(wire::user(user)) }))
    }

    async fn deactivate_user(
        &self,
        request: Request<DeactivateUserRequest>,
    ) -> Result<Response<DeactivateUserResponse>, Status> {
        let command = wire::deactivate_user(request.get_ref()).map_err(to_status)?;
        let user = app::deactivate_user(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(DeactivateUserResponse { user: Some(wire::user(user)) }))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let command =
            wire::change_password(request.get_ref(), address(&request)).map_err(to_status)?;
        app::change_password(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(ChangePasswordResponse {}))
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        let command =
            wire::request_reset(request.get_ref(), address(&request)).map_err(to_status)?;
        app::request_reset(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(RequestPasswordResetResponse {}))
    }

    async fn confirm_password_reset(
        &self,
        request: Request<ConfirmPasswordResetRequest>,
    ) -> Result<Response<ConfirmPasswordResetResponse>, Status> {
        let command = wire::confirm_reset(request.get_ref()).map_err(to_status)?;
        app::confirm_reset(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(ConfirmPasswordResetResponse {}))
    }

    async fn request_email_verification(
        &self,
        request: Request<RequestEmailVerificationRequest>,
    ) -> Result<Response<RequestEmailVerificationResponse>, Status> {
        let command =
            wire::request_verification(request.get_ref(), address(&request)).map_err(to_status)?;
        app::request_verification(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(RequestEmailVerificationResponse {}))
    }

    async fn confirm_email_verification(
        &self,
        request: Request<ConfirmEmailVerificationRequest>,
    ) -> Result<Response<ConfirmEmailVerificationResponse>, Status> {
        let command = wire::confirm_email(request.get_ref()).map_err(to_status)?;
        app::confirm_email(&self.app, command).await.map_err(to_status)?;
        Ok(Response::new(ConfirmEmailVerificationResponse {}))
    }

    async fn get_mail(
        &self,
        request: Request<GetMailRequest>,
    ) -> Result<Response<GetMailResponse>, Status> {
        let id = wire::get_mail(request.get_ref()).map_err(to_status)?;
        let mail = app::get_mail(&self.app, id).await.map_err(to_status)?;
        Ok(Response::new(GetMailResponse { mail: Some(wire::mail(mail)) }))
    }
}
