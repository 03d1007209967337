//! HTTP/2 as calls need it: good-byes and refusals by stream, the peer's limit of streams, flow
//! control both ways, cancellation, pings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::poll_fn, stream};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use mesh_policy::values;
use mesh_rpc::{Code, Deadline, Disposition};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tonic::{Status, body::Body};

use crate::{
    peer::{PING, Peer, Raw, balancer, failure, send, spawned, streamed},
    support::request,
};

const WINDOW: usize = 1 << 20;
const CHUNK: usize = 16 << 10;
const WHILE: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn a_good_bye_says_which_calls_are_looked_at_whatever_its_reason() {
    for code in [Reason::NO_ERROR, Reason::INTERNAL_ERROR, Reason::ENHANCE_YOUR_CALM] {
        let (connected, mut connections) = mpsc::unbounded_channel();
        let balancer = balancer(values::Target::default(), move |far| {
            let _ = connected.send(far);
        });
        let mut raw = Raw::begin(connections.recv().await.unwrap(), 100).await;
        let mut calls = Vec::new();
        for stream in [1, 3, 5] {
            calls.push(spawned(&balancer, request()));
            assert_eq!(raw.call().await, stream);
        }

        raw.goaway(3, code.into()).await;
        sleep(WHILE).await;
        assert_eq!(calls.iter().filter(|call| call.is_finished()).count(), 1);
        raw.answer(1).await;
        drop(raw);

        let mut answered = Vec::new();
        for call in calls {
            answered.push(call.await.unwrap());
        }
        answered[0].as_ref().expect("looked at, and answered");
        assert_eq!(failure(&answered[1]), (Code::Unavailable, Disposition::MaybeProcessed));
        assert_eq!(failure(&answered[2]), (Code::Unavailable, Disposition::Unprocessed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_was_not_looked_at_and_another_reset_says_nothing() {
    let mut peer = Peer::new(100);
    for (reason, expected) in [
        (Reason::REFUSED_STREAM, Disposition::Unprocessed),
        (Reason::CANCEL, Disposition::MaybeProcessed),
        (Reason::INTERNAL_ERROR, Disposition::MaybeProcessed),
    ] {
        let call = spawned(&peer.balancer, request());
        peer.next().await.respond.send_reset(reason);
        assert_eq!(failure(&call.await.unwrap()), (Code::Unavailable, expected), "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_one_stream_serves_all_in_turn() {
    const CALLS: usize = 50;
    let mut peer = Peer::new(1);
    let calls: Vec<_> = (0..CALLS).map(|_| spawned(&peer.balancer, request())).collect();

    for _ in 0..CALLS {
        let arrival = peer.next().await;
        sleep(WHILE).await;
        assert!(peer.arrivals.try_recv().is_err(), "one at a time");
        arrival.answer();
    }

    for call in calls {
        call.await.unwrap().expect("none is refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_while_it_waits_for_a_stream_was_never_sent() {
    let mut peer = Peer::new(1);
    let first = spawned(&peer.balancer, request());
    let arrival = peer.next().await;
    let begin = Instant::now();

    let deadline = Some(Deadline::after(WHILE));
    let late = send(&peer.balancer, request(), deadline).await;
    assert_eq!(failure(&late), (Code::DeadlineExceeded, Disposition::NotSent));
    assert!(begin.elapsed() < 2 * WHILE, "{:?}", begin.elapsed());
    let given_up = timeout(WHILE, send(&peer.balancer, request(), None)).await;
    given_up.expect_err("there is no stream for it");

    let row = &peer.balancer.table()[0];
    assert_eq!((row.pending, row.calls, row.failures), (1, 0, 0), "{row:?}");
    arrival.answer();
    first.await.unwrap().unwrap();
    sleep(WHILE).await;
    assert!(peer.arrivals.try_recv().is_err(), "nobody comes after it");
    let next = spawned(&peer.balancer, request());
    peer.next().await.answer();
    next.await.unwrap().expect("the stream is free");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_stream_at_a_good_bye_was_never_sent() {
    let mut peer = Peer::new(1);
    let first = spawned(&peer.balancer, request());
    let arrival = peer.next().await;
    let second = spawned(&peer.balancer, request());
    sleep(WHILE).await;

    peer.goodbye.cancel();

    let second = second.await.unwrap();
    assert_eq!(failure(&second), (Code::Unavailable, Disposition::NotSent));
    assert!(!first.is_finished());
    arrival.answer();
    first.await.unwrap().expect("it was looked at");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_streams_is_followed_as_it_changes() {
    let (connected, mut connections) = mpsc::unbounded_channel();
    let balancer = balancer(values::Target::default(), move |far| {
        let _ = connected.send(far);
    });
    let mut raw = Raw::begin(connections.recv().await.unwrap(), 2).await;
    let calls: Vec<_> = (0..5).map(|_| spawned(&balancer, request())).collect();
    assert_eq!((raw.call().await, raw.call().await), (1, 3));
    timeout(WHILE, raw.call()).await.expect_err("two at a time");

    raw.limit(3).await;
    assert_eq!(raw.call().await, 5);
    raw.limit(1).await;
    raw.answer(1).await;
    raw.answer(3).await;
    timeout(WHILE, raw.call()).await.expect_err("one at a time");
    raw.answer(5).await;
    assert_eq!(raw.call().await, 7);
    timeout(WHILE, raw.call()).await.expect_err("one at a time");
    raw.answer(7).await;
    assert_eq!(raw.call().await, 9);
    raw.answer(9).await;

    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(balancer.table()[0].max_streams, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_answer_or_in_it_ends_at_the_callee() {
    let mut peer = Peer::new(100);
    for answered in [false, true] {
        let (sender, request) = streamed();
        let call = spawned(&peer.balancer, request);
        let mut arrival = peer.next().await;
        sender.send(Ok(Bytes::from_static(b"one"))).await.unwrap();
        assert_eq!(arrival.request.body_mut().data().await.unwrap().unwrap(), "one");
        let mut writing = None;
        if answered {
            writing = Some(arrival.respond.send_response(Response::new(()), false).unwrap());
            drop(call.await.unwrap().unwrap());
        } else {
            call.abort();
        }

        sender.closed().await;
        let end = arrival.request.body_mut().data().await.unwrap().unwrap_err();
        assert_eq!(end.reason(), Some(Reason::CANCEL), "answered: {answered}");
        assert_eq!(peer.balancer.table()[0].pending, 0);
        drop(writing);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_read_to_its_end_frees_its_stream_and_ends_the_request() {
    let mut peer = Peer::new(1);
    let (sender, request) = streamed();
    let call = spawned(&peer.balancer, request);
    let mut arrival = peer.next().await;
    let mut writing = arrival.respond.send_response(Response::new(()), false).unwrap();
    writing.send_trailers(HeaderMap::new()).unwrap();
    let mut answer = call.await.unwrap().unwrap().into_body();
    answer.frame().await.unwrap().unwrap();

    sender.closed().await;
    let next = spawned(&peer.balancer, crate::support::request());
    peer.next().await.answer();
    next.await.unwrap().unwrap();
    assert!(answer.frame().await.is_none());
}

/// Sends as long as there is room; counts what it sent.
async fn fill(mut writing: SendStream<Bytes>, chunks: usize, sent: Arc<AtomicUsize>) {
    for _ in 0..chunks {
        writing.reserve_capacity(CHUNK);
        while writing.capacity() < CHUNK {
            poll_fn(|cx| writing.poll_capacity(cx)).await.unwrap().unwrap();
        }
        writing.send_data(Bytes::from_static(&[0; CHUNK]), false).unwrap();
        sent.fetch_add(CHUNK, Ordering::Relaxed);
    }
    writing.send_trailers(HeaderMap::new()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_callee_and_nobody_else() {
    let mut peer = Peer::new(100);
    let call = spawned(&peer.balancer, request());
    let mut arrival = peer.next().await;
    let writing = arrival.respond.send_response(Response::new(()), false).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    tokio::spawn(fill(writing, 3 * WINDOW / CHUNK, Arc::clone(&sent)));
    let mut answer = call.await.unwrap().unwrap().into_body();
    sleep(WHILE).await;
    assert_eq!(sent.load(Ordering::Relaxed), WINDOW);

    let other = spawned(&peer.balancer, request());
    peer.next().await.answer();
    other.await.unwrap().unwrap();
    let mut read = 0;
    while read < WINDOW {
        read += answer.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    sleep(WHILE).await;
    let sent = sent.load(Ordering::Relaxed);
    assert!((3 * WINDOW / 2..=2 * WINDOW).contains(&sent), "{sent}: as much again");
    let rest = answer.collect().await.unwrap().to_bytes();
    assert_eq!(read + rest.len(), 3 * WINDOW);
}

/// Reads to the end, making room as it goes.
async fn drain(mut body: RecvStream) -> usize {
    let mut read = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        read += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    read
}

#[tokio::test(start_paused = true)]
async fn a_slow_callee_holds_a_stream_of_requests() {
    const CHUNKS: usize = 64;
    let mut peer = Peer::new(100);
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let frames = stream::repeat_with(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Status>(Frame::data(Bytes::from_static(&[0; CHUNK])))
    });
    let body = Body::new(StreamBody::new(frames.take(CHUNKS)));
    let call = spawned(&peer.balancer, request().map(|_| body));
    let mut arrival = peer.next().await;
    sleep(WHILE).await;
    // A window of 64 KiB, and what waits for the next.
    let ahead = made.load(Ordering::Relaxed);
    assert!(ahead <= 6, "{ahead} chunks ahead");

    let (body, respond) = (arrival.request.into_body(), &mut arrival.respond);
    assert_eq!(drain(body).await, CHUNKS * CHUNK);
    respond.send_response(crate::peer::done(), true).unwrap();
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_large_message_goes_as_the_callee_takes_it() {
    let mut peer = Peer::new(100);
    let body = http_body_util::Full::new(Bytes::from(vec![0; 3 * WINDOW]));
    let call = spawned(&peer.balancer, request().map(|_| Body::new(body)));
    let mut arrival = peer.next().await;
    assert_eq!(drain(arrival.request.into_body()).await, 3 * WINDOW);
    arrival.respond.send_response(crate::peer::done(), true).unwrap();
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_and_answers_stream_at_once() {
    let mut peer = Peer::new(100);
    let (sender, request) = streamed();
    let call = spawned(&peer.balancer, request);
    let mut arrival = peer.next().await;
    let mut writing = arrival.respond.send_response(Response::new(()), false).unwrap();
    let mut answer = call.await.unwrap().unwrap().into_body();
    for text in ["a", "b", "c"] {
        sender.send(Ok(Bytes::from(text))).await.unwrap();
        let heard = arrival.request.body_mut().data().await.unwrap().unwrap();
        writing.send_data(heard, false).unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    drop(sender);
    assert_eq!(drain(arrival.request.into_body()).await, 0, "the request is over");
    writing.send_trailers(HeaderMap::new()).unwrap();
    assert!(answer.frame().await.unwrap().unwrap().is_trailers());
}

#[tokio::test(start_paused = true)]
async fn what_a_requests_body_fails_with_is_what_the_caller_is_told() {
    let mut peer = Peer::new(100);
    let failure = || Status::with_details(Code::OutOfRange, "too large", Bytes::new());
    let (sender, request) = streamed();
    sender.send(Err(failure())).await.unwrap();
    let status = send(&peer.balancer, request, None).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "too large"));
    assert!(peer.arrivals.try_recv().is_err(), "it never left");

    let (sender, request) = streamed();
    let call = spawned(&peer.balancer, request);
    let mut arrival = peer.next().await;
    sender.send(Err(failure())).await.unwrap();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "too large"));
    let end = arrival.request.body_mut().data().await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(Reason::CANCEL));
}

#[tokio::test(start_paused = true)]
async fn headers_that_http2_forbids_are_the_callers_mistake() {
    let mut peer = Peer::new(100);
    let mut forbidden = request();
    forbidden.headers_mut().insert("connection", "close".parse().unwrap());
    let refused = send(&peer.balancer, forbidden, None).await;
    assert_eq!(failure(&refused), (Code::Internal, Disposition::NotSent));

    let mut usual = request();
    usual.headers_mut().insert("te", "trailers".parse().unwrap());
    let call = spawned(&peer.balancer, usual);
    let arrival = peer.next().await;
    assert_eq!(arrival.request.headers()["te"], "trailers");
    arrival.answer();
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_asked_while_calls_run_and_a_calm_one_half_as_often() {
    let (connected, mut connections) = mpsc::unbounded_channel();
    let balancer = balancer(values::Target::default(), move |far| {
        let _ = connected.send(far);
    });
    let every = values::Connection::default().ping;
    for calm in [1, 2] {
        let mut raw = Raw::begin(connections.recv().await.unwrap(), 100).await;
        assert_eq!(pings(&mut raw, 10 * every).await, 0, "nobody calls");
        let call = spawned(&balancer, request());
        let stream = raw.call().await;
        let count = pings(&mut raw, 10 * every).await;
        assert!((9 / calm..=11 / calm).contains(&count), "{count} times");
        assert!(call.now_or_never().is_none(), "it is there");
        raw.goaway(stream, Reason::ENHANCE_YOUR_CALM.into()).await;
        raw.answer(stream).await;
    }
}

/// How often it is asked in some time.
async fn pings(raw: &mut Raw, time: Duration) -> u32 {
    let mut count = 0;
    let _ = timeout(time, async {
        while let Some(frame) = raw.read().await {
            count += u32::from(frame.kind == PING && frame.flags == 0);
        }
    })
    .await;
    count
}
