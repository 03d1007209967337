//! Every service has its own database and role, and cannot reach another's.

use mesh_testkit::{IsolatedPostgres, isolated_postgres};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::shop::SERVICES;

/// SQLSTATE `insufficient_privilege`.
const FORBIDDEN: &str = "42501";

#[tokio::test(flavor = "multi_thread")]
async fn one_role_cannot_connect_to_anothers_database() {
    let postgres = isolated_postgres().await;
    let urls = databases(&postgres).await;

    let owners = urls.iter().map(|(owner, _)| owner.as_str());
    let databases: Vec<&str> = owners.chain(["postgres", "template1"]).collect();
    for (role, url) in &urls {
        for owner in &databases {
            let options: PgConnectOptions = url.parse().unwrap();
            let answer = PgConnection::connect_with(&options.database(owner)).await;
            if role == owner {
                assert_eq!(whoami(answer.unwrap()).await, (role.clone(), role.clone()));
            } else {
                let refusal = answer.expect_err(&format!("{role} came into {owner}"));
                assert_eq!(code(&refusal), FORBIDDEN, "{role} at {owner}: {refusal}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_can_make_neither_databases_nor_roles() {
    let postgres = isolated_postgres().await;

    for (role, url) in databases(&postgres).await {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for statement in ["CREATE DATABASE loot", "CREATE ROLE accomplice"] {
            let refusal = sqlx::query(statement).execute(&mut connection).await;
            let refusal = refusal.expect_err(&format!("{role}: {statement} was allowed"));
            assert_eq!(code(&refusal), FORBIDDEN, "{role}: {statement}: {refusal}");
        }
        let powers: (bool, bool, bool, bool) = sqlx::query_as(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls
             FROM pg_roles WHERE rolname = current_user",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert_eq!(powers, (false, false, false, false), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_known_by_its_own_password_only() {
    let postgres = isolated_postgres().await;
    let urls = databases(&postgres).await;

    for (n, (role, url)) in urls.iter().enumerate() {
        let (other, _) = &urls[(n + 1) % urls.len()];
        let options: PgConnectOptions = url.parse().unwrap();
        let answer = PgConnection::connect_with(&options.username(other).database(other)).await;
        let refusal = answer.expect_err(&format!("{role}'s password opened {other}'s database"));
        assert_eq!(code(&refusal), "28P01", "{refusal}");
    }
}

/// Every service's role URL, made as `cargo mesh up` makes them.
async fn databases(postgres: &IsolatedPostgres) -> Vec<(String, String)> {
    let mut urls = Vec::new();
    for service in SERVICES {
        urls.push(((*service).to_owned(), postgres.database(service).await.unwrap()));
    }
    urls
}

async fn whoami(mut connection: PgConnection) -> (String, String) {
    sqlx::query_as("SELECT current_user::text, current_database()::text")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

fn code(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map(|code| code.into_owned()).unwrap_or_default()
}
