//! An empty database of its own for every test.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::Result;
use mesh_local::{derived_password, ensure_database, ensure_role, role_url};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use uuid::Uuid;

use crate::{shared, sweep};

/// How long the end of a test may take.
const DROP_LIMIT: Duration = Duration::from_secs(1);

/// The advisory lock under which templates are made.
const TEMPLATES: i64 = 0x6d65_7368_7470;

/// The superuser's URL of the PostgreSQL server that all tests share.
pub async fn superuser_url() -> String {
    shared::servers().await.postgres_url.clone()
}

/// A database with a service's schema and nothing in it, owned by the service's role. Dropped with
/// the value.
#[derive(Debug)]
pub struct Database {
    superuser: String,
    name: String,
    url: String,
}

impl Database {
    /// A database of its own for `service`, after all `migrations`.
    ///
    /// # Panics
    /// If it cannot be made, saying why.
    pub async fn empty(service: &str, migrations: &Migrator) -> Database {
        let template = template_name(service, migrations);
        Database::made(service, Some((&template, migrations))).await
    }

    /// A database of its own for `service`, before any migration.
    ///
    /// # Panics
    /// If it cannot be made, saying why.
    pub async fn blank(service: &str) -> Database {
        Database::made(service, None).await
    }

    /// The URL of the service's role.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The superuser's URL of this database.
    pub fn superuser_url(&self) -> String {
        let server = self.superuser.rsplit_once('/').map_or("", |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connections as the service's role.
    ///
    /// # Panics
    /// If the server refuses them.
    pub async fn pool(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(8).connect(&self.url).await;
        pool.unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.name))
    }

    async fn made(service: &str, template: Option<(&str, &Migrator)>) -> Database {
        let shared = shared::servers().await;
        let superuser = shared.postgres_url.clone();
        let password = derived_password(&shared.postgres_password, service);
        let name = format!("test_{}_{service}", sweep::unique());
        let make = async {
            if let Some((template, migrations)) = template {
                ensure_template(&superuser, service, &password, template, migrations).await?;
            } else {
                ensure_role(&superuser, service, &password).await?;
            }
            let mut connection = PgConnection::connect(&superuser).await?;
            let source = template.map_or("template1", |(template, _)| template);
            let create = format!("CREATE DATABASE {name} TEMPLATE {source} OWNER {service}");
            connection.execute(AssertSqlSafe(create)).await?;
            let revoke = format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC");
            connection.execute(AssertSqlSafe(revoke)).await?;
            connection.close().await?;
            Ok::<_, anyhow::Error>(())
        };
        if let Err(error) = make.await {
            panic!("cannot make a database for {service}: {error:?}");
        }
        let url = role_url(&superuser, service, &password, &name);
        Database { superuser, name, url }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let superuser = self.superuser.clone();
        let (done, dropped) = mpsc::channel();
        // In a runtime of its own: the test's may be gone, or be the one that drops us.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let result = runtime.block_on(async {
                let mut connection = PgConnection::connect(&superuser).await?;
                connection.execute(AssertSqlSafe(statement)).await?;
                connection.close().await?;
                Ok::<_, anyhow::Error>(())
            });
            let _ = done.send(());
            result
        });
        // PostgreSQL lets a database go when all sessions have heard of it, and one that the test's
        // runtime was just about to open hears nothing while that runtime waits here. So it is not
        // waited for long; a database that is left is dropped by a later test.
        let _ = dropped.recv_timeout(DROP_LIMIT);
    }
}

/// Makes the template database, unless it is there.
async fn ensure_template(
    superuser: &str,
    service: &str,
    password: &str,
    template: &str,
    migrations: &Migrator,
) -> Result<()> {
    let mut connection = PgConnection::connect(superuser).await?;
    if exists(&mut connection, template).await? {
        return Ok(connection.close().await?);
    }
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATES).execute(&mut connection).await?;
    if !exists(&mut connection, template).await? {
        // The name's last step makes it a template: one half made is never used.
        let draft = format!("draft_{template}");
        let drop = format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)");
        connection.execute(AssertSqlSafe(drop)).await?;
        ensure_role(superuser, service, password).await?;
        let create = format!("CREATE DATABASE {draft} OWNER {service}");
        connection.execute(AssertSqlSafe(create)).await?;
        let mut owner =
            PgConnection::connect(&role_url(superuser, service, password, &draft)).await?;
        migrations.run(&mut owner).await?;
        owner.close().await?;
        let rename = format!("ALTER DATABASE {draft} RENAME TO {template}");
        connection.execute(AssertSqlSafe(rename)).await?;
    }
    Ok(connection.close().await?)
}

async fn exists(connection: &mut PgConnection, database: &str) -> sqlx::Result<bool> {
    let found = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(database);
    Ok(found.fetch_optional(connection).await?.is_some())
}

fn template_name(service: &str, migrations: &Migrator) -> String {
    let mut content = Vec::new();
    for migration in migrations.iter() {
        content.extend_from_slice(&migration.version.to_be_bytes());
        content.extend_from_slice(&migration.checksum);
    }
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, &content).simple().to_string();
    format!("template_{service}_{}", &digest[..16])
}

/// The database and role of a service on a server of the test's own.
pub(crate) async fn on_own_server(
    superuser: &str,
    superuser_password: &str,
    service: &str,
) -> Result<String> {
    ensure_database(superuser, service, &derived_password(superuser_password, service)).await
}
