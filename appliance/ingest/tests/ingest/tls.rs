//! RTMPS: the same over TLS, with a certificate that can be renewed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};

use crate::support::client::{Client, Transport};
use crate::support::worker::Workers;
use crate::support::{Server, certificate, encoder, eventually, key};

/// Takes any certificate and lets the test look at it afterwards.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

struct Tls(StreamOwned<ClientConnection, TcpStream>);

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Transport for Tls {
    fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.0.sock.set_read_timeout(timeout).unwrap();
    }
}

/// A connection past the TLS handshake, and the certificate that it was made with.
fn connect(address: SocketAddr) -> (Tls, Vec<u8>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    let certificate = connection.peer_certificates().unwrap()[0].to_vec();
    (Tls(StreamOwned::new(connection, stream)), certificate)
}

fn der(pem: &std::path::Path) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_file(pem).unwrap().to_vec()
}

fn server() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let rtmps = certificate(directory.path());
    Server::in_directory(directory, |config| config.rtmps = Some(rtmps))
}

#[test]
fn ffmpeg_publishes_over_tls() {
    let server = server();
    let workers = Workers::listen(&server.path("worker.sock"));
    let url = format!("rtmps://{}/live/{}", server.rtmps.unwrap(), key("nodi").reveal());
    let encoder = encoder::ffmpeg(&url, 2);
    let mut worker = workers.next();
    let session = server.session("nodi", |session| session["video"]["frames"] != 0);
    assert_eq!(session["transport"], "rtmps");
    worker.read_all();
    assert!(encoder.end().0.success());
    assert_eq!(worker.video_frames(), 50);
}

#[test]
fn a_refusal_is_readable_over_tls() {
    let server = server();
    let mut client = Client::over(Box::new(connect(server.rtmps.unwrap()).0), "live");
    assert!(!client.publish("wrong"));
    assert!(client.until_closed().contains("this is not a stream key"));
}

#[test]
fn a_renewed_certificate_is_used_and_a_bad_one_is_not() {
    let server = server();
    let address = server.rtmps.unwrap();
    let first = der(&server.path("cert.pem"));
    assert_eq!(connect(address).1, first);
    let mut live = Client::over(Box::new(connect(address).0), "live");
    assert!(live.publish(key("nodi").reveal()));

    certificate(server.directory.path());
    let second = der(&server.path("cert.pem"));
    assert_ne!(first, second);
    eventually("the new certificate", || (connect(address).1 == second).then_some(()));

    std::fs::write(server.path("cert.pem"), "nonsense").unwrap();
    std::fs::write(server.path("key.pem"), "nonsense").unwrap();
    // The keys are looked at in the same turn as the certificate: once these are in force, it was looked at.
    std::fs::write(server.path("keys.pub"), crate::support::other_minter().public_line()).unwrap();
    eventually("the files to be looked at", || {
        let mut client = Client::connect(server.rtmp);
        (!client.publish(key("other").reveal())).then_some(())
    });
    assert_eq!(connect(address).1, second);
    live.metadata();
    assert_eq!(server.sessions().len(), 1, "a live session is not touched by any of it");
}

#[test]
fn what_is_not_tls_ends_alone() {
    let server = server();
    let mut plain = TcpStream::connect(server.rtmps.unwrap()).unwrap();
    plain.write_all(&[3; 2000]).unwrap();
    assert!(crate::support::client::is_closed(&mut plain));
    connect(server.rtmps.unwrap());
}
