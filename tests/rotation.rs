//! Passwords of databases and of the broker are replaced while customers order: a second login beside the
//! first, processes that are restarted with it one after the other, and then the first is gone
//! (docs/RUNBOOK.md, "Replacing passwords"). Keys that sign tokens: `sign_in`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use mesh_local::{Signal, connect_nats};
use mesh_testkit::{PlatformOptions, eventually, programs};
use sqlx::{Connection as _, PgConnection};

use crate::network::{Customer, load::Load};
use crate::shop::{SERVICES, Shop, uuid};

const ORDERS: usize = 3;
/// What the second login is called.
const NEXT: &str = "_next";

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_replaced_under_load_and_no_call_fails() {
    let settings = Settings::of(&programs(SERVICES).await);
    let shop =
        Shop::open_with(|options| settings.give(options.isolated_postgres().two_of_each())).await;
    let doors = [0, 1].map(|replica| shop.platform.replica("orders", replica).grpc());
    let customer = Customer::of(&shop.platform).await;
    let load = Load::through(customer.channel("orders", &doors), &shop).await;

    let replacement = async {
        load.more(ORDERS).await;
        let logins: Vec<Login> = SERVICES.iter().map(|service| Login::of(&shop, service)).collect();
        for login in &logins {
            login.add_at_database(&shop).await;
        }
        let broker = Broker::of(&shop);
        broker.add(&logins);
        for login in &logins {
            login.works(&login.next).await;
            settings.tell(login);
            for process in shop.platform.replicas(login.service) {
                process.replace(|| ()).await;
                load.more(ORDERS).await;
            }
        }
        for login in &logins {
            login.remove_at_database(&shop).await;
        }
        broker.remove(&logins);
        for login in &logins {
            login.is_refused().await;
        }
        load.more(10 * ORDERS).await;
        load.close();
        logins
    };
    let ((), logins) = tokio::join!(load.run(), replacement);

    assert_eq!(load.failures(), [""; 0]);
    // Who looks into the databases now has the first logins.
    for login in &logins {
        login.statement(&shop, &format!("ALTER ROLE {} LOGIN", login.role)).await;
    }
    load.is_settled(&shop).await;
    println!("{} orders", load.placed());
    shop.platform.shutdown().await;
}

/// What a service is known by, at its database and at the broker.
struct Login {
    service: &'static str,
    role: String,
    /// Not every service is a user of the broker.
    at_broker: bool,
    first: Urls,
    next: Urls,
}

struct Urls {
    database: String,
    broker: String,
    broker_password: String,
}

impl Login {
    fn of(shop: &Shop, service: &'static str) -> Self {
        let database = shop.platform.database_url(service).to_owned();
        let broker = shop.platform.nats().url_of(service);
        let (role, password) = credentials(&database);
        let (_, broker_password) = credentials(&broker);
        let (next, next_of_broker) = (uuid(), uuid());
        let second = |url: &str, user: &str, password: &str, next: &str| {
            url.replacen(&format!("{user}:{password}@"), &format!("{user}{NEXT}:{next}@"), 1)
        };
        let next = Urls {
            database: second(&database, role, password, &next),
            broker: second(&broker, service, broker_password, &next_of_broker),
            broker_password: next_of_broker,
        };
        let users = fs::read_to_string(Broker::of(shop).file).unwrap();
        let at_broker = users.contains(&format!("user: \"{service}\""));
        let (role, broker_password) = (role.to_owned(), broker_password.to_owned());
        Self { service, role, at_broker, first: Urls { database, broker, broker_password }, next }
    }

    /// A second role that is the first as soon as it is in.
    async fn add_at_database(&self, shop: &Shop) {
        let (next, password) = credentials(&self.next.database);
        let Self { role, .. } = self;
        self.statement(
            shop,
            &format!("CREATE ROLE {next} LOGIN PASSWORD '{password}' IN ROLE {role}"),
        )
        .await;
        self.statement(shop, &format!("ALTER ROLE {next} SET role TO {role}")).await;
    }

    async fn remove_at_database(&self, shop: &Shop) {
        self.statement(shop, &format!("ALTER ROLE {} NOLOGIN", self.role)).await;
        let mut connection = self.superuser(shop).await;
        let sessions =
            sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE usename = $1");
        let sessions: i64 = sessions.bind(&self.role).fetch_one(&mut connection).await.unwrap();
        assert_eq!(sessions, 0, "{} still comes by its first login", self.service);
    }

    async fn statement(&self, shop: &Shop, statement: &str) {
        let mut connection = self.superuser(shop).await;
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }

    async fn superuser(&self, shop: &Shop) -> PgConnection {
        PgConnection::connect(&shop.platform.superuser_url(self.service)).await.unwrap()
    }

    /// Waits until these are let in.
    async fn works(&self, urls: &Urls) {
        eventually(&format!("{} to be let in", self.service), async || {
            let by_database = PgConnection::connect(&urls.database).await.is_ok();
            by_database && (!self.at_broker || connect_nats(&urls.broker).await.is_ok())
        })
        .await;
    }

    /// Waits until nobody is let in by the first passwords.
    async fn is_refused(&self) {
        assert!(PgConnection::connect(&self.first.database).await.is_err(), "{}", self.service);
        eventually(&format!("{}'s first login to be refused", self.service), async || {
            !self.at_broker || connect_nats(&self.first.broker).await.is_err()
        })
        .await;
    }
}

/// User and password of an address.
fn credentials(url: &str) -> (&str, &str) {
    let (credentials, _) = url.split_once("://").unwrap().1.rsplit_once('@').unwrap();
    credentials.split_once(':').unwrap()
}

/// The broker's own configuration, which it reads again when it is told to.
struct Broker<'a> {
    shop: &'a Shop,
    file: PathBuf,
}

impl<'a> Broker<'a> {
    fn of(shop: &'a Shop) -> Self {
        Self { shop, file: shop.platform.nats().data().with_file_name("nats.conf") }
    }

    /// A second user for each, who may do the same.
    fn add(&self, logins: &[Login]) {
        self.change(logins, |block, login| {
            let Login { service, first, next, .. } = login;
            let second = block
                .replace(&format!("user: \"{service}\""), &format!("user: \"{service}{NEXT}\""))
                .replace(&first.broker_password, &next.broker_password)
                .replace(&format!("_INBOX.{service}."), &format!("_INBOX.{service}{NEXT}."));
            assert_ne!(block, second);
            format!("{block}{second}")
        });
    }

    fn remove(&self, logins: &[Login]) {
        self.change(logins, |_, _| String::new());
    }

    fn change(&self, logins: &[Login], change: impl Fn(&str, &Login) -> String) {
        const END: &str = "\n  }\n";
        let text = fs::read_to_string(&self.file).unwrap();
        let (head, users) = text.split_once("users: [\n").unwrap();
        let changed = users.split_inclusive(END).map(|block| {
            let is_of = |it: &&Login| block.contains(&format!("user: \"{}\"", it.service));
            logins.iter().find(is_of).map_or_else(|| block.to_owned(), |login| change(block, login))
        });
        let changed: String = changed.collect();
        assert_ne!(users, changed);
        fs::write(&self.file, format!("{head}users: [\n{changed}")).unwrap();
        assert!(self.shop.platform.nats().process().signal(Signal::HUP));
    }
}

/// Settings that are read at every start, and win over those that a process was given first.
struct Settings {
    folder: PathBuf,
}

impl Settings {
    fn of(programs: &Path) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rotation");
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for service in SERVICES {
            let (own, program) = (folder.join(format!("{service}.env")), programs.join(service));
            let (own, program) = (own.display(), program.display());
            let script = format!("#!/bin/sh\n[ ! -f '{own}' ] || . '{own}'\nexec '{program}'\n");
            let path = folder.join(service);
            fs::write(&path, script).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn give(&self, options: PlatformOptions) -> PlatformOptions {
        let own = |options, service: &&str| {
            PlatformOptions::program(options, service, &self.folder.join(service))
        };
        SERVICES.iter().fold(options, own)
    }

    fn tell(&self, login: &Login) {
        let Urls { database, broker, .. } = &login.next;
        let mut text = format!("export DATABASE_URL='{database}'\n");
        if login.at_broker {
            text += &format!("export NATS_URL='{broker}'\n");
        }
        fs::write(self.folder.join(format!("{}.env", login.service)), text).unwrap();
    }
}
