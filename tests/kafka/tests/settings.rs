//! TLS, passwords, and the topics that are needed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use plaza_events::{
    EventLog as _, KafkaLog, KafkaSasl, KafkaSettings, KafkaTls, LogError, SaslMechanism, TopicState, Topics,
    check_topics, create_topics,
};
use plaza_test_kafka::{event, open, topics};
use plaza_test_servers::Kafka;

async fn works(settings: KafkaSettings, test: &str) {
    let log = open(settings, test).await;
    let position = log.append(vec![event(test, "k", "1")]).await.unwrap().remove(0);
    assert_eq!(log.read(test, position.partition, position.offset, 1).await.unwrap().len(), 1);
    let mut consumer = log.consumer(&format!("{test}-group"), &[test.to_owned()]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), consumer.next()).await.unwrap().unwrap();
    drop(consumer);
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_passwords() {
    let Some(kafka) = Kafka::start_secure() else { return };
    let ca = KafkaTls { ca: Some(kafka.certificate("ca.pem")), ..KafkaTls::default() };
    let sasl = |mechanism, password: &str| KafkaSettings {
        tls: Some(ca.clone()),
        sasl: Some(KafkaSasl { mechanism, username: "plaza".to_owned(), password: password.to_owned() }),
        request_timeout: Duration::from_secs(5),
        ..KafkaSettings::new(&kafka.sasl_ssl())
    };
    works(sasl(SaslMechanism::Plain, "plaza-secret"), "plain").await;
    works(sasl(SaslMechanism::ScramSha256, "plaza-secret"), "scram256").await;
    works(sasl(SaslMechanism::ScramSha512, "plaza-secret"), "scram512").await;
    let certificate = KafkaTls {
        certificate: Some(kafka.certificate("client.pem")),
        key: Some(kafka.certificate("client.key")),
        ..ca.clone()
    };
    let with = |tls| KafkaSettings {
        tls: Some(tls),
        request_timeout: Duration::from_secs(5),
        ..KafkaSettings::new(&kafka.ssl())
    };
    works(with(certificate), "certificate").await;

    // Who is not let in is told why.
    let refused = async |settings| KafkaLog::open(settings, &topics("plain")).await.err().unwrap().to_string();
    let error = refused(sasl(SaslMechanism::Plain, "wrong")).await;
    assert!(error.contains("Authentication failed") && !error.contains("wrong"), "{error}");
    let error = refused(sasl(SaslMechanism::ScramSha512, "wrong")).await;
    assert!(error.contains("uthentication failed"), "{error}");
    let error = refused(with(ca.clone())).await;
    assert!(error.contains("SSL") || error.contains("certificate"), "{error}");
    let stranger = KafkaTls { ca: None, ..ca };
    let error = refused(with(stranger)).await;
    assert!(error.contains("certificate verify failed"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_as_the_contract_has_them_and_checked() {
    let Some(kafka) = Kafka::shared() else { return };
    let settings = KafkaSettings::new(kafka.brokers());
    let contract = |partitions: u32, retention: &str| {
        let text = format!(
            "dlq = {{ partitions = 1, retention = \"30d\" }}\n\
             [[topic]]\nname = \"contract\"\nkey = \"k\"\npartitions = {partitions}\nretention = \"{retention}\"\n"
        );
        Topics::parse(&text).unwrap()
    };
    let states = async |topics: &Topics| {
        let report = check_topics(&settings, topics).await.unwrap();
        report.0.into_iter().map(|report| report.state).collect::<Vec<_>>()
    };
    let topics = contract(4, "1h");
    assert_eq!(states(&topics).await[..2], [TopicState::Missing, TopicState::Missing]);
    let error = KafkaLog::open(settings.clone(), &topics).await.err().unwrap();
    assert!(
        matches!(&error, LogError::Invalid(reason) if reason.contains("contract is missing") && reason.contains("plaza topics"))
    );

    let report = create_topics(&settings, &topics, Some(1)).await.unwrap();
    assert_eq!(report.0[0].state, TopicState::Created);
    assert_eq!(report.0[0].to_string(), "contract: created, 4 partitions, kept 3600 s");
    assert_eq!(states(&topics).await, [TopicState::Right, TopicState::Right, TopicState::Right]);
    // A second time there is nothing to do.
    let report = create_topics(&settings, &topics, Some(1)).await.unwrap();
    assert!(report.is_usable() && report.0.iter().all(|report| report.state == TopicState::Right));

    let grown = contract(6, "1h");
    let report = create_topics(&settings, &grown, None).await.unwrap();
    assert_eq!(report.0[0].state, TopicState::FewerPartitions(4));
    assert!(!report.is_usable());
    let error = KafkaLog::open(settings.clone(), &grown).await.err().unwrap().to_string();
    assert!(error.contains("contract has 4 partitions of 6"), "{error}");
    assert_eq!(states(&contract(3, "1h")).await[0], TopicState::MorePartitions(4));
    assert_eq!(states(&contract(4, "2h")).await[0], TopicState::OtherRetention(Some(Duration::from_hours(1))));
    // More than are needed are no hindrance, and all of them are used.
    let log = KafkaLog::open(settings, &contract(3, "1h")).await.unwrap();
    assert_eq!(log.watermarks(&["contract".to_owned()]).await.unwrap().len(), 4);
    // More replicas than brokers.
    let many = Topics::parse(
        "dlq = { partitions = 1, retention = \"1d\" }\n[[topic]]\nname = \"many\"\nkey = \"k\"\npartitions = 1\nretention = \"1d\"",
    );
    let report = create_topics(&KafkaSettings::new(kafka.brokers()), &many.unwrap(), Some(3)).await.unwrap();
    assert!(matches!(report.0[0].state, TopicState::Refused(_)), "{report:?}");
    log.close().await;
}
