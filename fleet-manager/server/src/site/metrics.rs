//! What the watch site's area counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::metrics::Metrics;

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sign_ups: Counter,
    pub(super) sign_ins: Counter,
    pub(super) refused_sign_ins: Counter,
    pub(super) throttled: Counter,
    pub(super) chat_tokens: Counter,
    pub(super) followers: Gauge,
    pub(super) live: Gauge,
    pub(super) chat_reachable: Gauge,
}

impl Counts {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let counts = Self::default();
        metrics.register(|registry| {
            let site = registry.sub_registry_with_prefix("nodi_fleet_site");
            site.register("sign_ups", "Accounts made by those whose they are", counts.sign_ups.clone());
            site.register("sign_ins", "Sign-ins to the watch site", counts.sign_ins.clone());
            site.register(
                "refused_sign_ins",
                "Sign-ins to the watch site with a wrong name or password",
                counts.refused_sign_ins.clone(),
            );
            site.register(
                "throttled",
                "Requests refused because there were too many of an address or for a name",
                counts.throttled.clone(),
            );
            site.register("chat_tokens", "Chat tokens signed", counts.chat_tokens.clone());
            site.register("followers", "Browsers that follow the directory", counts.followers.clone());
            site.register("live_channels", "Channels in the directory", counts.live.clone());
            site.register(
                "chat_reachable",
                "1 while the chat service says how many watch",
                counts.chat_reachable.clone(),
            );
        });
        counts
    }
}
