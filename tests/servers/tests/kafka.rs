//! A server is there while it should be, and not any longer.

use std::net::TcpStream;

use plaza_test_servers::Kafka;

#[test]
fn a_broker_comes_back_on_the_same_port_and_goes_with_the_test() {
    let Some(kafka) = Kafka::start(1) else { return };
    let address = kafka.brokers().to_owned();
    let answers = || TcpStream::connect(&address).is_ok();
    assert!(answers());
    kafka.kill();
    assert!(!answers());
    kafka.restart();
    assert_eq!(kafka.pids().len(), 1);
    assert!(answers());
    let directory = kafka.directory();
    drop(kafka);
    assert!(!answers());
    assert!(!directory.exists());
}
