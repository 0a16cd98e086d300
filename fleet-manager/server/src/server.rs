//! The running server: everything started, and everything stopped in order.

use std::net::SocketAddr;
use std::sync::Arc;

use nodi_daemon::shutdown::Shutdown;
use tokio::net::TcpListener;

use crate::ca::{self, Authority};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{self, Db};
use crate::error::Error;
use crate::http::serve::{Limits, serve};
use crate::http::tls;
use crate::state::App;
use crate::tasks::Tasks;
use crate::{
    alerts, boxes, commands, enrolment, http, ingests, link, metrics, people, rollouts, site, streams,
    telemetry, updates, webhooks,
};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Database(#[from] db::OpenError),
    #[error("{0}")]
    State(#[from] Error),
    #[error("certificate authority: {0}")]
    Authority(#[from] ca::Error),
    #[error("HTTPS: {0}")]
    Tls(#[from] tls::Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// A running server. It ends when the [`Shutdown`] that it was started with is asked for.
pub struct Server {
    pub app: App,
    /// Where plain HTTP is served.
    pub http: Option<SocketAddr>,
    /// Where HTTPS is served.
    pub https: Option<SocketAddr>,
    /// Where the watch site's API is served alone.
    pub site: Option<SocketAddr>,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    tasks: Tasks,
}

impl Server {
    /// Opens the database, binds all sockets, starts all tasks. Needs a Tokio runtime and an installed rustls provider.
    ///
    /// # Errors
    /// Which file, socket or part of the configuration is not usable.
    pub async fn start(config: Config, clock: Clock, shutdown: Shutdown) -> Result<Self, StartError> {
        let db = Db::open(&config.database(), false)?;
        let app = App::new(config, clock, db, shutdown.clone()).await?;
        let mut tasks = Tasks::new(shutdown.clone());
        let router = http::router(&app);
        let limits = Limits::new(&app.config.http);

        let mut http_address = None;
        if let Some(address) = app.config.http.listen {
            let (listener, bound) = bind(address).await?;
            http_address = Some(bound);
            let serving = serve(listener, None, router.clone(), limits.clone(), shutdown.clone());
            tasks.spawn_draining("http", serving);
        }
        let mut https_address = None;
        if let Some(config) = &app.config.http.tls {
            let authority = Arc::new(Authority::load(&app.config.ca_dir())?);
            let source = tls::Source::new(config, &app.config.public_url, authority, app.clock.clone());
            let (certificate, following) = source.follow()?;
            let (listener, bound) = bind(config.listen).await?;
            https_address = Some(bound);
            tasks.spawn("certificate", following);
            let serving = serve(listener, Some(certificate), router, limits, shutdown.clone());
            tasks.spawn_draining("https", serving);
        }
        let mut site_address = None;
        if let Some(address) = app.config.site.listen {
            let (listener, bound) = bind(address).await?;
            site_address = Some(bound);
            // Places of its own: strangers take none of those of the dashboard and of boxes.
            let limits = Limits::of(app.config.site.max_connections, &app.config.http);
            let serving = serve(listener, None, http::site_router(&app), limits, shutdown.clone());
            tasks.spawn_draining("site", serving);
        }
        let mut metrics_address = None;
        if let Some(address) = app.config.metrics.listen {
            let (listener, bound) = bind(address).await?;
            metrics_address = Some(bound);
            let router = metrics::router(&app);
            tasks.spawn("metrics", async move {
                if let Err(error) = axum::serve(listener, router).await {
                    log::error!("metrics: {error}");
                }
            });
        }

        people::start(&app, &mut tasks);
        enrolment::start(&app, &mut tasks);
        boxes::start(&app, &mut tasks);
        commands::start(&app, &mut tasks);
        updates::start(&app, &mut tasks);
        rollouts::start(&app, &mut tasks);
        telemetry::start(&app, &mut tasks);
        link::start(&app, &mut tasks);
        streams::start(&app, &mut tasks);
        ingests::start(&app, &mut tasks);
        alerts::start(&app, &mut tasks);
        webhooks::start(&app, &mut tasks);
        site::start(&app, &mut tasks);
        Ok(Self {
            app,
            http: http_address,
            https: https_address,
            site: site_address,
            metrics: metrics_address,
            tasks,
        })
    }

    /// Returns when everything has ended after a stop was asked for.
    ///
    /// # Errors
    /// When a task ended that should not have.
    pub async fn run(mut self) -> Result<(), String> {
        self.tasks.run().await
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
