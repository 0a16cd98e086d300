//! Where somebody is: what they say, what a database says of their address, or what somebody at that address said last.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader, geoip2};

/// Mean radius (IUGG), in kilometres.
const EARTH_KM: f64 = 6_371.0;
/// Networks whose last place is remembered; with more of them all are forgotten.
const REMEMBERED: usize = 10_000;
/// For how long, in milliseconds.
const REMEMBER_MS: i64 = 24 * 3_600 * 1_000;

/// A place on Earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    /// `None`: there is no such place.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let there = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        there.then_some(Self { latitude, longitude })
    }

    /// Along the great circle (haversine formula).
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = (other.longitude - self.longitude).to_radians();
        let h = ((b - a) / 2.0).sin().powi(2) + a.cos() * b.cos() * (across / 2.0).sin().powi(2);
        2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
    }
}

/// A database of places in the MaxMind format, read anew when the file changes.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    reader: RwLock<Arc<Reader<Vec<u8>>>>,
    read: Mutex<Option<SystemTime>>,
}

impl Database {
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, MaxMindDbError> {
        let changed = changed(path);
        let reader = Arc::new(Reader::open_readfile(path)?);
        Ok(Self { path: path.to_owned(), reader: RwLock::new(reader), read: Mutex::new(changed) })
    }

    /// Reads the file again if it is another one. Takes as long as the disk does.
    ///
    /// # Errors
    /// When it cannot be read; the old one stays.
    pub fn refresh(&self) -> Result<(), MaxMindDbError> {
        let now = changed(&self.path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *read || now.is_none() {
            return Ok(());
        }
        let reader = Arc::new(Reader::open_readfile(&self.path)?);
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
        *read = now;
        Ok(())
    }

    /// `None`: it does not know.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<Place> {
        let reader = Arc::clone(&self.reader.read().unwrap_or_else(PoisonError::into_inner));
        let found = reader.lookup(address).ok()?.decode::<geoip2::City<'_>>().ok()??;
        Place::new(found.location.latitude?, found.location.longitude?)
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// Where somebody at an address was last, in memory only.
#[derive(Debug, Default)]
pub struct LastKnown(Mutex<HashMap<IpAddr, (Place, i64)>>);

impl LastKnown {
    pub fn remember(&self, address: IpAddr, place: Place, now_ms: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(network(address), (place, now_ms));
    }

    #[must_use]
    pub fn find(&self, address: IpAddr, now_ms: i64) -> Option<Place> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&network(address))
            .filter(|(_, at_ms)| now_ms.saturating_sub(*at_ms) < REMEMBER_MS)
            .map(|(place, _)| *place)
    }
}

/// Neighbours are in one place: /24 and /48.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(latitude: f64, longitude: f64) -> Place {
        Place::new(latitude, longitude).unwrap()
    }

    #[test]
    fn distances_are_those_of_an_atlas() {
        let (rome, new_york, dhaka) = (place(41.9, 12.5), place(40.71, -74.01), place(23.81, 90.41));
        assert!((rome.distance_km(new_york) - 6_890.0).abs() < 30.0);
        assert!((rome.distance_km(dhaka) - 7_300.0).abs() < 30.0);
        assert!(rome.distance_km(rome) < 0.001);
        assert!(
            (place(0.0, 179.9).distance_km(place(0.0, -179.9)) - 22.2).abs() < 0.1,
            "across the date line"
        );
        assert!((place(90.0, 0.0).distance_km(place(-90.0, 0.0)) - 20_015.0).abs() < 1.0);
        for (latitude, longitude) in [(90.1, 0.0), (0.0, 180.1), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Place::new(latitude, longitude), None);
        }
    }

    #[test]
    fn the_last_known_place_is_that_of_the_neighbourhood_and_not_for_ever() {
        let known = LastKnown::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        known.remember(address("192.0.2.7"), place(1.0, 2.0), 0);
        known.remember(address("2001:db8:1:2::1"), place(3.0, 4.0), 0);
        assert_eq!(known.find(address("192.0.2.200"), 1), Some(place(1.0, 2.0)));
        assert_eq!(known.find(address("2001:db8:1:ffff::9"), 1), Some(place(3.0, 4.0)));
        assert_eq!(known.find(address("192.0.3.7"), 1), None);
        assert_eq!(known.find(address("192.0.2.7"), REMEMBER_MS), None);
    }

    /// A database with one entry for all of 192.0.2.0/24, as its format's description says (MaxMind DB 2.0): a binary
    /// tree of 24-bit records, 16 zero bytes, the data, and metadata behind a marker.
    fn database(latitude: f64, longitude: f64) -> Vec<u8> {
        fn text(out: &mut Vec<u8>, text: &str) {
            let len = u8::try_from(text.len()).unwrap();
            if len < 29 {
                out.push(0x40 | len);
            } else {
                out.extend([0x40 | 29, len - 29]);
            }
            out.extend(text.as_bytes());
        }
        fn number(out: &mut Vec<u8>, kind: u8, value: u32) {
            let bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            let len = u8::try_from(bytes.len()).unwrap();
            if kind > 7 {
                out.extend([len, kind - 7]);
            } else {
                out.push(kind << 5 | len);
            }
            out.extend(bytes);
        }
        let prefix = u32::from(Ipv4Addr::new(192, 0, 2, 0));
        let nodes = 24_u32;
        let mut file = Vec::new();
        for depth in 0..nodes {
            let next = if depth + 1 == nodes { nodes + 16 } else { depth + 1 };
            let bit = prefix >> (31 - depth) & 1;
            let records = if bit == 0 { [next, nodes] } else { [nodes, next] };
            for record in records {
                file.extend(&record.to_be_bytes()[1..]);
            }
        }
        file.extend([0; 16]);
        // {"location": {"latitude": …, "longitude": …}}
        file.push(0xe1);
        text(&mut file, "location");
        file.push(0xe2);
        for (name, value) in [("latitude", latitude), ("longitude", longitude)] {
            text(&mut file, name);
            file.push(0x68);
            file.extend(value.to_be_bytes());
        }
        file.extend(b"\xab\xcd\xefMaxMind.com");
        file.push(0xe9);
        for (name, kind, value) in [
            ("binary_format_major_version", 5, 2),
            ("binary_format_minor_version", 5, 0),
            ("build_epoch", 9, 1_763_826_000),
            ("ip_version", 5, 4),
            ("node_count", 6, nodes),
            ("record_size", 5, 24),
        ] {
            text(&mut file, name);
            number(&mut file, kind, value);
        }
        text(&mut file, "database_type");
        text(&mut file, "Nodi-Test-City");
        text(&mut file, "description");
        file.push(0xe1);
        text(&mut file, "en");
        text(&mut file, "one network");
        text(&mut file, "languages");
        file.extend([0x00, 0x04]);
        file
    }

    #[test]
    fn an_address_is_found_in_a_database_and_the_database_may_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("city.mmdb");
        std::fs::write(&path, database(41.9, 12.5)).unwrap();
        let places = Database::open(&path).unwrap();
        assert_eq!(places.find("192.0.2.77".parse().unwrap()), Some(place(41.9, 12.5)));
        assert_eq!(places.find("192.0.3.1".parse().unwrap()), None);
        assert_eq!(places.find("2001:db8::1".parse().unwrap()), None);

        std::fs::write(&path, database(45.5, 9.2)).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(10);
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
        places.refresh().unwrap();
        assert_eq!(places.find("192.0.2.77".parse().unwrap()), Some(place(45.5, 9.2)));

        std::fs::write(&path, "nonsense").unwrap();
        assert!(places.refresh().is_err());
        assert_eq!(places.find("192.0.2.77".parse().unwrap()), Some(place(45.5, 9.2)), "the old one stays");
    }
}
