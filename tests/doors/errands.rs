//! What a service's program does besides serving: `health` and `migrate`.

use std::path::Path;
use std::process::Stdio;

use mesh_local::{Authority, Signal};
use mesh_testkit::{Database, Platform, PlatformOptions, eventually, patience, program, programs};
use meshctl::services;
use tokio::process::Command;

use crate::shop::SERVICES;

/// Runs a service's program; returns its exit code, and what it said and complained.
async fn run(
    service: &str,
    arguments: &[&str],
    settings: &[(String, String)],
) -> (Option<i32>, String, String) {
    let mut command = Command::new(program(service).await);
    let settings = settings.iter().map(|(name, value)| (name, value));
    command.args(arguments).envs(settings).stdin(Stdio::null());
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_migrates_its_database_and_ends() {
    programs(SERVICES).await;
    for declaration in services::declarations().unwrap() {
        let service = &declaration.service;
        if declaration.store.is_none() {
            let (code, _, complaint) = run(service, &["migrate"], &[]).await;
            assert_eq!(code, Some(64), "{service} keeps nothing: {complaint}");
            continue;
        }
        let database = Database::blank(service).await;
        let settings = [("DATABASE_URL".to_owned(), database.url().to_owned())];
        let mut said = Vec::new();
        for _ in 0..2 {
            let (code, line, complaint) = run(service, &["migrate"], &settings).await;
            assert_eq!(code, Some(0), "{complaint}");
            said.push(line);
        }
        let migrations = Path::new("services").join(service).join("migrations");
        let newest = std::fs::read_dir(migrations).unwrap().count();
        let expected = format!("{service}: the database is at migration {newest}\n");
        assert_eq!(said, [expected.clone(), expected]);
        let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
        let done: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(usize::try_from(done).unwrap(), newest, "{service}");
    }
    let (code, _, complaint) = run("orders", &["migrate"], &[]).await;
    assert_eq!((code, complaint.as_str()), (Some(1), "orders: DATABASE_URL is not set\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_asks_the_running_one_how_it_is() {
    programs(SERVICES).await;
    for mtls in [false, true] {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("errands");
        let mut settings = Vec::new();
        if mtls {
            let files = Authority::open(&folder).unwrap().issue("shipping").unwrap().files;
            let all =
                [("TLS_CERT", files.certificate), ("TLS_KEY", files.key), ("TLS_CA", files.trust)];
            settings.extend(all.map(|(name, file)| (name.to_owned(), file.display().to_string())));
        }
        let mut options = PlatformOptions::new(&["shipping"]).isolated_postgres();
        for (name, value) in &settings {
            options = options.env("shipping", name, value);
        }
        let platform = Platform::start(options).await;
        let address = platform.grpc("shipping");
        settings.push(("LISTEN_ADDR".to_owned(), address.to_string()));
        let ask = async |question: &[&str]| {
            run("shipping", &[&["health"], question].concat(), &settings).await
        };

        let (code, said, complaint) = ask(&[]).await;
        assert_eq!(code, Some(0), "{complaint}");
        assert_eq!(said, format!("shipping: readiness at {address}: serving\n"));
        let contract = "shop.shipping.v1.ShippingService";
        for service in ["liveness", contract] {
            assert_eq!(ask(&["--service", service]).await.0, Some(0), "{service}");
        }
        let (code, _, complaint) = ask(&["--service", "shop.nobody.v1.NobodyService"]).await;
        assert_eq!(code, Some(1), "{complaint}");

        // Without its database it is alive, and not ready.
        platform.postgres().down().await;
        eventually("it to be not ready", async || {
            let (code, _, complaint) = ask(&[]).await;
            code == Some(1) && complaint.ends_with("not serving\n")
        })
        .await;
        assert_eq!(ask(&["--service", "liveness"]).await.0, Some(0));

        platform.service("shipping").process().down(Signal::KILL, patience()).await;
        let (code, said, complaint) = ask(&["--service", "liveness"]).await;
        assert_eq!((code, said.as_str()), (Some(1), ""), "{complaint}");
        assert!(
            complaint.starts_with(&format!("shipping: liveness at {address}: ")),
            "{complaint}"
        );
    }
    let (code, _, complaint) = run("shipping", &["health"], &[]).await;
    assert_eq!(code, Some(64));
    assert!(complaint.contains("LISTEN_ADDR"), "{complaint}");
}
