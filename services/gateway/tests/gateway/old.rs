//! An old system, which says what a test wants, and remembers what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use tokio::{net::TcpListener, task::JoinHandle};

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What it says from now on.
#[derive(Clone, Debug)]
pub struct Says {
    pub status: u16,
    pub body: String,
    pub encoding: Option<&'static str>,
    pub after: Duration,
}

impl Says {
    pub fn json(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), encoding: None, after: Duration::ZERO }
    }
}

pub struct Old {
    pub at: SocketAddr,
    notes: Arc<Notes>,
    task: JoinHandle<()>,
}

struct Notes {
    asked: Mutex<Vec<Asked>>,
    says: Mutex<Says>,
}

impl Old {
    pub async fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let says = Mutex::new(Says::json(200, "{\"by\":\"old\"}"));
        let notes = Arc::new(Notes { asked: Mutex::default(), says });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&notes));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { at, notes, task }
    }

    pub fn says(&self, says: Says) {
        *self.notes.says.lock().unwrap() = says;
    }

    pub fn count(&self) -> usize {
        self.notes.asked.lock().unwrap().len()
    }

    pub fn last(&self) -> Asked {
        self.notes.asked.lock().unwrap().last().cloned().expect("nobody has asked")
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(notes): State<Arc<Notes>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let target = head.uri.path_and_query().unwrap().to_string();
    let asked = Asked { method: head.method, target, headers: head.headers, body };
    notes.asked.lock().unwrap().push(asked);
    let says = notes.says.lock().unwrap().clone();
    tokio::time::sleep(says.after).await;
    let mut answer = Response::new(Body::from(says.body));
    *answer.status_mut() = StatusCode::from_u16(says.status).unwrap();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    headers.insert(header::SET_COOKIE, "session=1".parse().unwrap());
    if let Some(encoding) = says.encoding {
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
    }
    answer
}
