//! The users as they are shipped, `nats/generated/users.conf`: a nats-server that has read that file lets
//! each do what it declares, and nothing else.

use std::fs;
use std::path::Path;

use mesh_local::{
    Home, ProcessSpec, Progress, Servers, Signal, Supervised, broker_users, copy_tree,
    ensure_streams, free_port, http,
};
use mesh_testkit::{eventually, workspace};
use meshctl::{caller, services};

use super::attempts::{of_operator, of_service};
use super::wrong;

/// A broker with the shipped configuration, where only addresses and the folder are this machine's.
struct Shipped {
    port: u16,
    process: Supervised,
}

impl Shipped {
    async fn start() -> Shipped {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shipped-users");
        let _ = fs::remove_dir_all(&folder);
        copy_tree(&workspace().join("nats"), &folder).unwrap();
        let file = folder.join("nats.conf");
        let (port, monitor) = (free_port().unwrap(), free_port().unwrap());
        let text = fs::read_to_string(&file).unwrap();
        let text = text
            .replace("0.0.0.0:4222", &format!("127.0.0.1:{port}"))
            .replace("0.0.0.0:8222", &format!("127.0.0.1:{monitor}"))
            .replace("\"/data\"", &format!("{:?}", folder.join("data")));
        fs::write(&file, text).unwrap();
        let home = Home::of_project(&workspace()).unwrap();
        let servers = Servers::find(&home, &mut Progress::hidden()).await.unwrap();
        let users = broker_users(&services::declarations().unwrap(), caller::NAME);
        let variable = |name: &str| format!("NATS_PASSWORD_{}", name.to_uppercase());
        let passwords = users
            .iter()
            .map(|user| (variable(user.name()), format!("\"{}\"", password(user.name()))));
        let process = Supervised::start(ProcessSpec {
            name: "nats".to_owned(),
            replica: 0,
            program: servers.nats,
            args: vec!["--config".into(), file.into()],
            env: passwords.chain([("SERVER_NAME".to_owned(), "shipped".to_owned())]).collect(),
            directory: None,
            log: folder.join("nats.log"),
            pid_file: None,
            user: None,
            stop: Signal::TERM,
        });
        eventually("the broker to be healthy", async || {
            http::is_ok(([127, 0, 0, 1], monitor).into(), "/healthz").await
        })
        .await;
        Shipped { port, process }
    }

    fn url(&self, user: &str) -> String {
        format!("nats://{user}:{}@127.0.0.1:{}", password(user), self.port)
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        self.process.abandon();
    }
}

fn password(user: &str) -> String {
    format!("of-{user}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_that_are_shipped_may_do_what_is_declared_and_nothing_else() {
    let declarations = services::declarations().unwrap();
    let broker = Shipped::start().await;
    ensure_streams(&broker.url(caller::NAME), &declarations).await.unwrap();
    let mut faults = Vec::new();

    for me in declarations.iter().filter(|it| it.uses_broker()) {
        let attempts = of_service(me, &declarations);
        faults.extend(wrong(&broker.url(&me.service), &me.service, &attempts).await);
    }
    let attempts = of_operator(&declarations);
    faults.extend(wrong(&broker.url(caller::NAME), caller::NAME, &attempts).await);

    assert!(faults.is_empty(), "{faults:#?}");
}

/// Of whoever is not tried.
#[test]
fn no_other_user_is_shipped() {
    let shipped = fs::read_to_string(workspace().join("nats/generated/users.conf")).unwrap();
    let users = shipped.lines().filter_map(|line| line.trim().strip_prefix("user: \""));
    let users: Vec<_> = users.map(|rest| rest.split('"').next().unwrap()).collect();
    let declared = broker_users(&services::declarations().unwrap(), caller::NAME);
    assert_eq!(users, declared.iter().map(|it| it.name()).collect::<Vec<_>>());
}
