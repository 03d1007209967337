//! Reads and writes `mails`.

use mesh_log::{Pool, Traced as _};
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::unreadable;
use crate::domain::MailKind;

/// A mail that is to be delivered.
pub struct Mail {
    pub id: Uuid,
    pub user: Uuid,
    pub kind: MailKind,
    pub expires: OffsetDateTime,
}

/// Saves a mail; from now on the tokens of earlier ones of its kind are refused.
pub async fn insert_mail(tx: &mut PgConnection, mail: &Mail) -> sqlx::Result<()> {
    spend_mails(&mut *tx, mail.user, mail.kind).await?;
    sqlx::query("INSERT INTO mails (mail_id, user_id, kind, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(mail.id)
        .bind(mail.user)
        .bind(mail.kind.as_str())
        .bind(mail.expires)
        .execute(tx)
        .traced("INSERT mails")
        .await?;
    Ok(())
}

/// Ends the tokens of a kind that an account's mails have.
pub async fn spend_mails(tx: &mut PgConnection, user: Uuid, kind: MailKind) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE mails SET used_at = clock_timestamp()
         WHERE user_id = $1 AND kind = $2 AND used_at IS NULL",
    )
    .bind(user)
    .bind(kind.as_str())
    .execute(tx)
    .traced("UPDATE mails")
    .await?;
    Ok(())
}

/// Returns the mail with this id, unless its token was used or has expired.
pub async fn mail(db: &Pool, id: Uuid) -> sqlx::Result<Option<Mail>> {
    let row = sqlx::query(
        "SELECT mail_id, user_id, kind, expires_at FROM mails
         WHERE mail_id = $1 AND used_at IS NULL AND expires_at > clock_timestamp()",
    );
    let row = row.bind(id).fetch_optional(db).await?;
    let read = |row: sqlx::postgres::PgRow| {
        let kind = match row.try_get("kind")? {
            "PASSWORD_RESET" => MailKind::PasswordReset,
            "EMAIL_VERIFICATION" => MailKind::EmailVerification,
            _ => return Err(unreadable("a kind of mail")),
        };
        let (id, user) = (row.try_get("mail_id")?, row.try_get("user_id")?);
        Ok(Mail { id, user, kind, expires: row.try_get("expires_at")? })
    };
    row.map(read).transpose()
}

/// Uses the token of a mail. Returns whose it is; nobody's, if it was used or has expired.
pub async fn use_mail(
    tx: &mut PgConnection,
    id: Uuid,
    kind: MailKind,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar(
        "UPDATE mails SET used_at = clock_timestamp()
         WHERE mail_id = $1 AND kind = $2 AND used_at IS NULL AND expires_at > clock_timestamp()
         RETURNING user_id",
    )
    .bind(id)
    .bind(kind.as_str())
    .fetch_optional(tx)
    .traced("UPDATE mails")
    .await
}
