//! Three brokers as the cluster runs them (`k8s/nats/nats.conf`, users by `k8s/secrets.sh`), here on
//! loopback: streams are kept by all three, and one may be away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream;
use mesh_local::{
    Home, ProcessSpec, Progress, Servers, Signal, Supervised, connect_nats, free_port, http,
};
use mesh_testkit::{eventually, program, workspace};
use tokio::process::Command;

use crate::manifests::secrets::make;

const ENDING: Duration = Duration::from_secs(10);

/// One server, and where it answers clients, its neighbours, and probes.
struct Broker {
    process: Supervised,
    ports: [u16; 3],
}

impl Broker {
    fn start(n: usize, folder: &Path, program: &Path, all: &[[u16; 3]]) -> Broker {
        let [client, neighbours, probes] = all[n];
        let folder = folder.join(format!("nats-{n}"));
        fs::create_dir_all(&folder).unwrap();
        let text = fs::read_to_string(workspace().join("k8s/nats/nats.conf")).unwrap();
        let mut text = text
            .replace("0.0.0.0:4222", &format!("127.0.0.1:{client}"))
            .replace("0.0.0.0:6222", &format!("127.0.0.1:{neighbours}"))
            .replace("0.0.0.0:8222", &format!("127.0.0.1:{probes}"))
            .replace("\"/data\"", &format!("{:?}", folder.join("data")))
            .replace("\"/run/nats/nats.pid\"", &format!("{:?}", folder.join("pid")))
            .replace("auth/auth.conf", "../auth.conf");
        for (other, [_, neighbours, _]) in all.iter().enumerate() {
            let there = format!("nats-{other}.nats-each.shop.svc.cluster.local:6222");
            assert!(text.contains(&there), "{there} is no neighbour");
            text = text.replace(&there, &format!("127.0.0.1:{neighbours}"));
        }
        let config = folder.join("nats.conf");
        fs::write(&config, text).unwrap();
        let process = Supervised::start(ProcessSpec {
            name: "nats".to_owned(),
            replica: u32::try_from(n).unwrap(),
            program: program.to_owned(),
            args: vec!["--config".into(), config.into()],
            env: vec![("POD_NAME".to_owned(), format!("nats-{n}"))],
            directory: None,
            log: folder.join("log"),
            pid_file: None,
            user: None,
            stop: Signal::TERM,
        });
        Broker { process, ports: all[n] }
    }

    /// The address of a Secret, at this server.
    fn url(&self, secret: &str) -> String {
        secret.replace("BROKER", &format!("127.0.0.1:{}", self.ports[0]))
    }

    /// By what the StatefulSet's startup probe asks for.
    async fn is_well(&self) -> bool {
        http::is_ok(([127, 0, 0, 1], self.ports[2]).into(), "/healthz").await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process.abandon();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_three_servers_outlive_any_one_of_them() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("brokers");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let secrets = make(&folder.join("secrets"), &[("NATS_ADDRESS", "BROKER")]).await;
    fs::write(folder.join("auth.conf"), &secrets["nats-auth"]["auth.conf"]).unwrap();
    let home = Home::of_project(&workspace()).unwrap();
    let server = Servers::find(&home, &mut Progress::hidden()).await.unwrap().nats;
    let ports: Vec<_> = (0..3).map(|_| [(); 3].map(|()| free_port().unwrap())).collect();
    let brokers = [0, 1, 2].map(|n| Broker::start(n, &folder, &server, &ports));
    for broker in &brokers {
        eventually("a server to be well", async || broker.is_well().await).await;
    }

    // As the Job does it, which tries again.
    let operator = brokers[0].url(&secrets["streams-nats"]["url"]);
    let meshctl = program("meshctl").await;
    eventually("the streams", async || {
        let mut job = Command::new(&meshctl);
        job.args(["provision", "streams", "--stream-replicas", "3"]).env("NATS_URL", &operator);
        job.output().await.unwrap().status.success()
    })
    .await;

    let client = connect_nats(&operator).await.unwrap();
    let all = jetstream::new(client);
    let mut leaders = Vec::new();
    for name in ["orders", "KV_revocations"] {
        let stream = all.get_stream(name).await.unwrap();
        assert_eq!(stream.cached_info().config.num_replicas, 3, "{name}");
        eventually("all three to keep it", async || {
            let info = all.get_stream(name).await.ok()?.cached_info().clone();
            let cluster = info.cluster?;
            let current = cluster.replicas.iter().filter(|it| it.current).count();
            leaders.push(cluster.leader?);
            (current == 2).then_some(())
        })
        .await;
    }
    // The worst one: whoever leads the stream of orders.
    let leader: usize = leaders[0].strip_prefix("nats-").unwrap().parse().unwrap();
    let left = &brokers[(leader + 1) % 3];
    let client = connect_nats(&left.url(&secrets["orders-nats"]["url"])).await.unwrap();
    let orders = jetstream::new(client);
    let publish = async || {
        let sent = orders.publish("shop.orders.v1.Tried", "{}".into()).await.ok()?;
        sent.await.ok().map(|stored| stored.sequence)
    };
    let before = eventually("an event to be kept", publish).await;

    brokers[leader].process.down(Signal::KILL, ENDING).await;

    let after = eventually("an event to be kept by two", publish).await;
    assert!(after > before, "{after} after {before}: what was kept is still there");
}
