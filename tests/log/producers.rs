//! Producers: an append whose outcome was not heard is tried again and written once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use talea_platform::log::Log;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fixture::{Fixture, Queue, append_all, records};

pub async fn retry_without_writing_twice(fixture: &Fixture) {
    let direct = fixture.connect().await;
    let topic = fixture.topic(&direct, 2).await;
    let log: Arc<dyn Log> = if fixture.is_postgres() {
        let deaf = DeafProxy::start(fixture.postgres_url()).await;
        let log = fixture.connect_postgres(&deaf.url, Queue { records: 10, bytes: 1 << 20 }).await;
        deaf.answers_to_swallow.store(1, Ordering::SeqCst);
        append_all(&(Arc::new(log) as Arc<dyn Log>), topic, records("x", 40)).await;
        assert_eq!(deaf.answers_to_swallow.load(Ordering::SeqCst), 0, "the fault happened");
        direct
    } else {
        if let Some(cluster) = fixture.mock_cluster() {
            let faults = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 2];
            cluster.request_errors(RDKafkaApiKey::Produce, &faults);
        }
        append_all(&direct, topic, records("x", 40)).await;
        direct
    };
    let mut values = Vec::new();
    for partition in 0..2 {
        let read = log.read(topic, partition, 0, 100).await.expect("the partition is read");
        values.extend(read.into_iter().map(|record| record.value));
    }
    let mut expected: Vec<_> = records("x", 40).into_iter().map(|record| record.value).collect();
    values.sort();
    expected.sort();
    assert_eq!(values, expected);
}

/// Stands before Postgres. While it is told to, it lets a COMMIT through and cuts the client off before the answer.
struct DeafProxy {
    url: String,
    answers_to_swallow: Arc<AtomicU32>,
}

impl DeafProxy {
    async fn start(url: &str) -> Self {
        let after_scheme = url.split_once("://").expect("an URL").1;
        let host = after_scheme.split('/').next().and_then(|host| host.rsplit('@').next()).expect("a host").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("a bound address").to_string();
        let answers_to_swallow = Arc::new(AtomicU32::new(0));
        let (url, swallow) = (url.replacen(&host, &own, 1), answers_to_swallow.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&host).await.expect("Postgres answers");
                tokio::spawn(relay(client, server, swallow.clone()));
            }
        });
        DeafProxy { url, answers_to_swallow }
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, swallow: Arc<AtomicU32>) {
    let (mut question, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut question) => {
                let Ok(count @ 1..) = read else { return };
                if server.write_all(&question[..count]).await.is_err() { return }
                let commits = question[..count].windows(7).any(|bytes| bytes == b"COMMIT\0");
                let due = commits && swallow.try_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                if due {
                    // The server has answered, so the commit is durable; the client never hears it.
                    let _ = server.read(&mut answer).await;
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answer[..count]).await.is_err() { return }
            }
        }
    }
}
