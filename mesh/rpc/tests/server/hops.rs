//! What a handler's calls to other services have of the call that it answers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures::{StreamExt as _, stream};
use mesh_policy::values;
use mesh_rpc::{
    Code,
    attempt::Call,
    criticality::{self, Criticality},
    retry::{Retries, Rule},
};
use tonic::{Request, Status, body::Body};

use crate::support::{Callee, Client, Echo, Handlers, config, echo};

fn unavailable() -> Status {
    Status::with_details(Code::Unavailable, "not now", Default::default())
}

/// Asks the next service up to four times.
#[derive(Clone)]
struct Next {
    client: Client,
    retries: Arc<Retries>,
}

impl Next {
    fn new(callee: &Callee) -> Self {
        Self { client: Client(callee.channel()), retries: Arc::default() }
    }

    async fn ask(&self) -> Result<(), Status> {
        let call = Call::new("hops", "lab.v1.EchoService/Call");
        let rule =
            Rule::default().idempotent().retry(values::Retry { attempts: 4, ..Default::default() });
        let send = |_| async {
            let asked = self.client.call(Request::new(echo("1"))).await;
            asked.map(|_| http::Response::new(Body::empty()))
        };
        self.retries.run(&call, rule, send).await.map(drop)
    }

    /// Fails as the next one fails, in words of its own.
    fn relay(self) -> Handlers {
        let stream = self.clone();
        Handlers::default()
            .call(move |_| {
                let next = self.clone();
                async move {
                    next.ask().await.map_err(|_| unavailable())?;
                    Ok(echo("done"))
                }
            })
            .down(move |_| {
                let next = stream.clone();
                let fails =
                    async move { Err(next.ask().await.map_err(|_| unavailable()).unwrap_err()) };
                stream::iter([Ok(echo("first"))]).chain(stream::once(fails)).boxed()
            })
    }
}

/// A service that is down, and how often it was asked.
async fn down() -> (Callee, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let handlers = Handlers::default().call(move |_| {
        count.fetch_add(1, SeqCst);
        async { Err(unavailable()) }
    });
    (start(handlers).await, asked)
}

async fn start(handlers: Handlers) -> Callee {
    Callee::start(config(), values::Server::default(), handlers).await
}

#[tokio::test]
async fn only_the_hop_next_to_the_failure_repeats() {
    let (leaf, asked) = down().await;
    let middle = start(Next::new(&leaf).relay()).await;
    let front = start(Next::new(&middle).relay()).await;

    let status = Next::new(&front).ask().await.unwrap_err();

    assert_eq!((status.code(), status.message()), (Code::Unavailable, "not now"));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    assert_eq!(asked.load(SeqCst), 4, "of 64");
}

#[tokio::test]
async fn a_stream_that_fails_because_of_a_hop_behind_says_so_in_its_trailers() {
    let (leaf, asked) = down().await;
    let front = start(Next::new(&leaf).relay()).await;

    let mut stream = Client(front.channel()).down(Request::new(echo(""))).await.unwrap();
    stream.message().await.unwrap();
    let status = stream.message().await.unwrap_err();

    assert_eq!(asked.load(SeqCst), 4);
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
}

#[tokio::test]
async fn a_failure_of_the_handlers_own_may_be_repeated() {
    let (leaf, _) = down().await;

    let status = Client(leaf.channel()).call(Request::new(echo("1"))).await.unwrap_err();

    assert!(!status.metadata().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn a_handlers_calls_matter_as_much_as_the_call_that_it_answers() {
    let leaf =
        of_class(Handlers::default().call(|_| async { Ok(current()) }), Criticality::Critical);
    let leaf = leaf.await;
    let (unary, stream) = (Client(leaf.channel()), Client(leaf.channel()));
    let ask =
        async |client: Client| client.call(Request::new(echo(""))).await.map(|text| echo(&text));
    let relay = Handlers::default()
        .call(move |_| ask(unary.clone()))
        .down(move |_| stream::once(ask(stream.clone())).boxed());
    let front = of_class(relay, Criticality::Default).await;

    let said = async |client: Client, class: Option<Criticality>| {
        let request = || {
            let mut request = Request::new(echo(""));
            if let Some(class) = class {
                request
                    .metadata_mut()
                    .insert("x-mesh-criticality", class.as_str().parse().unwrap());
            }
            request
        };
        let unary = client.call(request()).await.unwrap();
        let mut stream = client.down(request()).await.unwrap();
        (unary, stream.message().await.unwrap().unwrap().text)
    };
    let same = |text: &str| (text.to_owned(), text.to_owned());
    let (front, leaf) = (Client(front.channel()), Client(leaf.channel()));

    assert_eq!(leaf.call(Request::new(echo(""))).await.unwrap(), "critical", "outside of a call");
    assert_eq!(said(front.clone(), None).await, same("default"), "no more than the call itself");
    assert_eq!(said(front.clone(), Some(Criticality::Sheddable)).await, same("sheddable"));
    assert_eq!(said(front, Some(Criticality::Critical)).await, same("default"), "its contract");
}

fn current() -> Echo {
    echo(criticality::current().expect("in a call").as_str())
}

async fn of_class(handlers: Handlers, class: Criticality) -> Callee {
    let values = values::Server::default();
    Callee::with(config(), values, handlers, move |server| server.criticality(move |_| class)).await
}
