//! Connections: taken until the process stops, each with a limit on how long it may say nothing. Without that, whoever
//! opens connections and sends half a request holds them for ever, and holds up every shutdown.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How long the head of a request may take, and a connection may rest between two. A body has the request's own limit.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause when the system has no more file descriptors: some connections end meanwhile.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);

/// Serves until `stop`, and then until the requests under way have their answers.
pub(super) async fn serve(listener: TcpListener, app: Router, head_timeout: Duration, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, app.clone(), head_timeout, stop.clone()))),
            // It ended before it was taken.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "serve.accept_failed");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, app: Router, head_timeout: Duration, stop: CancellationToken) {
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    let service = TowerToHyperService::new(app.map_request(|request: Request<_>| request.map(Body::new)));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Errors are the client's: it went away, or sent what is no HTTP.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn begin(head_timeout: Duration) -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, stop) = (listener.local_addr().expect("an address"), CancellationToken::new());
        let app = Router::new().route("/", get(|| std::future::ready("well")));
        (address, stop.clone(), tokio::spawn(serve(listener, app, head_timeout, stop)))
    }

    async fn read_to_end(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("reads");
        text
    }

    #[tokio::test]
    async fn half_a_head_and_silence_are_ended() {
        let (address, stop, served) = begin(Duration::from_millis(20)).await;
        let (mut half, mut silent) = (
            TcpStream::connect(address).await.expect("connects"),
            TcpStream::connect(address).await.expect("connects"),
        );
        half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.expect("writes");
        assert!(!read_to_end(&mut half).await.contains("well"));
        assert_eq!(read_to_end(&mut silent).await, "");
        stop.cancel();
        served.await.expect("ends");
    }

    #[tokio::test]
    async fn an_answered_connection_does_not_hold_a_shutdown_up() {
        let (address, stop, served) = begin(Duration::from_secs(3600)).await;
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("writes");
        let mut start = [0; 15];
        stream.read_exact(&mut start).await.expect("reads");
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        stop.cancel();
        assert!(read_to_end(&mut stream).await.ends_with("well"));
        served.await.expect("ends");
    }
}
