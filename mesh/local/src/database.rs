//! A service's own database and role.

use anyhow::{Result, bail};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

/// The advisory lock under which roles and databases are made.
const LOCK: i64 = 0x6d65_7368_6462;

/// Creates the role and the database `name`, unless they are there, and returns the role's URL.
///
/// The role owns its database and nobody else may connect to it; nor may it connect to those that
/// every server has.
pub async fn ensure_database(superuser: &str, name: &str, password: &str) -> Result<String> {
    check(name)?;
    let mut connection = PgConnection::connect(superuser).await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut connection).await?;
    create_role(&mut connection, name, password).await?;
    let known = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(name);
    if known.fetch_optional(&mut connection).await?.is_none() {
        run(&mut connection, format!("CREATE DATABASE {name} OWNER {name}")).await?;
    }
    for closed in [name, "postgres", "template1"] {
        run(&mut connection, format!("REVOKE ALL ON DATABASE {closed} FROM PUBLIC")).await?;
    }
    connection.close().await?;
    Ok(role_url(superuser, name, password, name))
}

/// Creates the role `name`, unless it is there, and sets its password.
pub async fn ensure_role(superuser: &str, name: &str, password: &str) -> Result<()> {
    check(name)?;
    let mut connection = PgConnection::connect(superuser).await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut connection).await?;
    create_role(&mut connection, name, password).await?;
    Ok(connection.close().await?)
}

/// The URL under which a role reaches a database of the superuser's server.
pub fn role_url(superuser: &str, role: &str, password: &str, database: &str) -> String {
    let server = superuser.rsplit_once('@').map_or(superuser, |(_, rest)| rest);
    // How the connection is secured is the server's too.
    let (server, security) = match server.split_once('?') {
        Some((server, security)) => (server, format!("?{security}")),
        None => (server, String::new()),
    };
    let server = server.split('/').next().unwrap_or(server);
    format!("postgres://{role}:{password}@{server}/{database}{security}")
}

/// A role's password that follows from the superuser's: nothing more has to be kept.
pub fn derived_password(superuser_password: &str, role: &str) -> String {
    let text = format!("{superuser_password}:{role}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
}

async fn create_role(connection: &mut PgConnection, name: &str, password: &str) -> Result<()> {
    let known = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(name);
    if known.fetch_optional(&mut *connection).await?.is_none() {
        run(connection, format!("CREATE ROLE {name}")).await?;
    }
    let password = password.replace('\'', "''");
    run(connection, format!("ALTER ROLE {name} LOGIN PASSWORD '{password}'")).await?;
    // A process that stops inside a transaction holds locks; the server ends its session.
    run(connection, format!("ALTER ROLE {name} SET idle_in_transaction_session_timeout = '5s'"))
        .await
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<()> {
    connection.execute(AssertSqlSafe(statement)).await?;
    Ok(())
}

/// Names go into statements as they are.
fn check(name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if name.is_empty()
        || name.len() > 60
        || !plain
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        bail!("`{name}` cannot name a database: use lower-case letters, digits and _");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, role_url};

    #[test]
    fn a_roles_url_keeps_the_server() {
        let url = role_url("postgres://postgres:x@127.0.0.1:5/postgres", "a", "b", "c");
        assert_eq!(url, "postgres://a:b@127.0.0.1:5/c");
        let secure =
            "postgres://postgres:x@127.0.0.1:5/postgres?sslmode=verify-full&sslrootcert=/y/z";
        let url = role_url(secure, "a", "b", "c");
        assert_eq!(url, "postgres://a:b@127.0.0.1:5/c?sslmode=verify-full&sslrootcert=/y/z");
    }

    #[test]
    fn a_name_cannot_carry_a_statement() {
        assert!(check("orders_2").is_ok());
        assert!(check("x; DROP DATABASE y").is_err());
        assert!(check("").is_err());
    }
}
