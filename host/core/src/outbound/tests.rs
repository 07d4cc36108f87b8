//! What an entry may say, what it covers, and which addresses are public.
//! Does not test resolving: the core never sees a name and its address together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn check_parse(entries: &[&str], expect: &Expect) {
    let shown = |entry: &&str| match AllowedHost::parse(entry) {
        Ok(allowed) => allowed.to_string(),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&entries.iter().map(shown).collect::<Vec<_>>().join("\n"));
}

fn policy(entries: &[&str]) -> OutboundPolicy {
    OutboundPolicy::new(entries.iter().map(|entry| AllowedHost::parse(entry).unwrap()).collect())
}

/// Judges each `scheme host port`.
fn check_verdicts(entries: &[&str], targets: &[&str], expect: &Expect) {
    let policy = policy(entries);
    let line = |target: &&str| {
        let [scheme, host, port] = target.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{target}")
        };
        let verdict = match policy.permits(scheme, host, port.parse().unwrap()) {
            OutboundDecision::Denied => "denied",
            OutboundDecision::Allowed { is_named: true } => "allowed, also privately",
            OutboundDecision::Allowed { is_named: false } => "allowed, publicly",
        };
        format!("{target}: {verdict}")
    };
    expect.assert_eq(&targets.iter().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn an_entry_shows_as_it_is_written() {
    check_parse(
        &[
            "https://api.example.com",
            "http://API.example.com./",
            "https://*.example.com:8443",
            "*://*:*",
            "*://a.b",
            "http://*",
            "http://127.0.0.1:8080",
            "http://[::1]:8000..9000",
            "http://[::ffff:10.0.0.1]",
            "http://localhost:3000",
            "http://a:1..65535",
            "http://3scale",
        ],
        &expect![[r#"
            https://api.example.com
            http://api.example.com
            https://*.example.com:8443
            *://*:*
            *://a.b
            http://*
            http://127.0.0.1:8080
            http://[::1]:8000..9000
            http://10.0.0.1
            http://localhost:3000
            http://a:*
            http://3scale"#]],
    );
}

#[test]
fn what_is_no_entry_is_refused_with_the_rule() {
    check_parse(
        &[
            "",
            "api.example.com",
            "ftp://a",
            "HTTP://a",
            "https://",
            "https://a/b",
            "https://a?x",
            "https://u:p@a",
            "https://a:0",
            "https://a:65536",
            "https://a:9..8",
            "https://a:+1",
            "https://a:",
            "https://a:80:90",
            "https://::1",
            "https://[::1",
            "https://[::1]x",
            "https://[1.2.3.4]",
            "https://a.*",
            "https://*.*.a",
            "https://*.10.0.0.1",
            "http://127.1",
            "http://0x7f.0x1",
            "http://2130706433",
            "https://é",
            "https://{{ host }}",
            "*",
        ],
        &expect![[r#"
            "" is not an allowed host: expected scheme://host, such as https://api.example.com
            "api.example.com" is not an allowed host: expected scheme://host, such as https://api.example.com
            "ftp://a" is not an allowed host: its scheme must be http, https, tcp, that of a database, or *
            "HTTP://a" is not an allowed host: its scheme must be http, https, tcp, that of a database, or *
            "https://" is not an allowed host: "" is not a host: it is empty
            "https://a/b" is not an allowed host: a whole host is allowed or not; leave out the path
            "https://a?x" is not an allowed host: a whole host is allowed or not; leave out the path
            "https://u:p@a" is not an allowed host: a user name is not part of it
            "https://a:0" is not an allowed host: a port is 1 to 65535, a range such as 8000..9000, or *
            "https://a:65536" is not an allowed host: a port is 1 to 65535, a range such as 8000..9000, or *
            "https://a:9..8" is not an allowed host: a port is 1 to 65535, a range such as 8000..9000, or *
            "https://a:+1" is not an allowed host: a port is 1 to 65535, a range such as 8000..9000, or *
            "https://a:" is not an allowed host: a port is 1 to 65535, a range such as 8000..9000, or *
            "https://a:80:90" is not an allowed host: a port is 1 to 65535, a range such as 8000..9000, or *
            "https://::1" is not an allowed host: "" is not a host: it is empty
            "https://[::1" is not an allowed host: an opening [ needs a closing ]
            "https://[::1]x" is not an allowed host: only a port may follow ]
            "https://[1.2.3.4]" is not an allowed host: brackets hold an IPv6 address
            "https://a.*" is not an allowed host: "a.*" is not a host: a * may only be the whole first label, as in *.example.com
            "https://*.*.a" is not an allowed host: "*.a" is not a host: a * may only be the whole first label, as in *.example.com
            "https://*.10.0.0.1" is not an allowed host: write an address as four numbers with dots
            "http://127.1" is not an allowed host: write an address as four numbers with dots
            "http://0x7f.0x1" is not an allowed host: write an address as four numbers with dots
            "http://2130706433" is not an allowed host: write an address as four numbers with dots
            "https://é" is not an allowed host: "é" is not a host: only a-z, 0-9, -, _ and dots are allowed; write other letters as xn--
            "https://{{ host }}" is not an allowed host: "{{ host }}" is not a host: only a-z, 0-9, -, _ and dots are allowed; write other letters as xn--
            "*" is not an allowed host: expected scheme://host, such as https://api.example.com"#]],
    );
}

#[test]
fn without_entries_nothing_is_permitted() {
    check_verdicts(
        &[],
        &["http localhost 80", "https example.com 443"],
        &expect![[r#"
        http localhost 80: denied
        https example.com 443: denied"#]],
    );
}

#[test]
fn scheme_host_and_port_all_have_to_match() {
    check_verdicts(
        &["https://api.example.com", "http://a.b:8000..8002", "*://c.d"],
        &[
            "https api.example.com 443",
            "HTTPS API.example.COM. 443",
            "http api.example.com 443",
            "https api.example.com 8443",
            "https example.com 443",
            "https x.api.example.com 443",
            "http a.b 7999",
            "http a.b 8000",
            "http a.b 8002",
            "http a.b 8003",
            "http a.b 80",
            "http c.d 80",
            "https c.d 443",
            "http c.d 443",
            "ftp c.d 21",
            "* c.d 80",
        ],
        &expect![[r#"
            https api.example.com 443: allowed, also privately
            HTTPS API.example.COM. 443: allowed, also privately
            http api.example.com 443: denied
            https api.example.com 8443: denied
            https example.com 443: denied
            https x.api.example.com 443: denied
            http a.b 7999: denied
            http a.b 8000: allowed, also privately
            http a.b 8002: allowed, also privately
            http a.b 8003: denied
            http a.b 80: denied
            http c.d 80: allowed, also privately
            https c.d 443: allowed, also privately
            http c.d 443: denied
            ftp c.d 21: denied
            * c.d 80: denied"#]],
    );
}

#[test]
fn a_wildcard_covers_what_is_below_it_and_no_private_address() {
    check_verdicts(
        &["https://*.example.com"],
        &[
            "https a.example.com 443",
            "https b.a.example.com 443",
            "https example.com 443",
            "https .example.com 443",
            "https badexample.com 443",
            "https a.example.com.evil.org 443",
        ],
        &expect![[r#"
            https a.example.com 443: allowed, publicly
            https b.a.example.com 443: allowed, publicly
            https example.com 443: denied
            https .example.com 443: denied
            https badexample.com 443: denied
            https a.example.com.evil.org 443: denied"#]],
    );
}

#[test]
fn a_private_address_is_fine_only_where_the_host_is_named() {
    check_verdicts(
        &["http://*:*", "http://localhost:3000", "http://10.0.0.5", "http://[::1]:*"],
        &[
            "http localhost 3000",
            "http localhost 3001",
            "http 10.0.0.5 80",
            "http 10.0.0.6 80",
            "http [::ffff:10.0.0.5] 80",
            "http ::ffff:a00:5 80",
            "http [::1] 1",
            "http 0:0::1 9",
            "http 127.1 80",
            "https localhost 443",
        ],
        &expect![[r#"
            http localhost 3000: allowed, also privately
            http localhost 3001: allowed, publicly
            http 10.0.0.5 80: allowed, also privately
            http 10.0.0.6 80: allowed, publicly
            http [::ffff:10.0.0.5] 80: allowed, also privately
            http ::ffff:a00:5 80: allowed, also privately
            http [::1] 1: allowed, also privately
            http 0:0::1 9: allowed, also privately
            http 127.1 80: allowed, publicly
            https localhost 443: denied"#]],
    );
}

#[test]
fn special_addresses_are_not_public() {
    let edges = "\
        0.0.0.0 0.255.255.255 1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 10.0.0.0 10.255.255.255 \
        11.0.0.0 100.63.255.255 100.64.0.0 100.127.255.255 100.128.0.0 126.255.255.255 \
        127.0.0.1 128.0.0.0 169.253.255.255 169.254.169.254 169.255.0.0 172.15.255.255 \
        172.16.0.0 172.31.255.255 172.32.0.0 192.0.0.1 192.0.1.0 192.0.2.1 192.88.98.1 \
        192.88.99.1 192.167.255.255 192.168.0.1 192.169.0.0 198.17.255.255 198.18.0.0 \
        198.19.255.255 198.20.0.0 198.51.100.1 203.0.113.1 223.255.255.255 224.0.0.1 \
        239.255.255.255 240.0.0.0 255.255.255.255 :: ::1 ::7f00:1 ::ffff:127.0.0.1 \
        ::ffff:8.8.8.8 64:ff9b::808:808 64:ff9b::a00:1 64:ff9b:1::808:808 100::1 1fff::1 \
        2000::1 2001::1 2001:1ff:ffff::1 2001:200::1 2001:db8::1 2001:db9::1 2002:808:808::1 \
        2003::1 2606:4700::1111 3ffe::1 3fff::1 3fff:fff::1 3fff:1000::1 4000::1 5f00::1 \
        fc00::1 fdff::1 fe80::1 fec0::1 ff02::1";
    let public: Vec<_> = edges.split(' ').filter(|a| is_public(a.parse().unwrap())).collect();
    expect![[r#"
        1.0.0.0
        1.1.1.1
        8.8.8.8
        9.255.255.255
        11.0.0.0
        100.63.255.255
        100.128.0.0
        126.255.255.255
        128.0.0.0
        169.253.255.255
        169.255.0.0
        172.15.255.255
        172.32.0.0
        192.0.1.0
        192.88.98.1
        192.167.255.255
        192.169.0.0
        198.17.255.255
        198.20.0.0
        223.255.255.255
        ::ffff:8.8.8.8
        64:ff9b::808:808
        2000::1
        2001:200::1
        2001:db9::1
        2003::1
        2606:4700::1111
        3ffe::1
        3fff:1000::1"#]]
    .assert_eq(&public.join("\n"));
}

proptest! {
    #[test]
    fn no_public_address_is_special_to_the_standard_library(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
            || v4.is_unspecified() || v4.is_broadcast() || v4.is_documentation();
        prop_assert!(!(special && is_public(v4.into())));
    }

    #[test]
    fn an_address_in_ipv6_form_is_as_public_as_itself(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let public = is_public(v4.into());
        prop_assert_eq!(is_public(v4.to_ipv6_mapped().into()), public);
        let translated = Ipv6Addr::from_bits(0x64_ff9b << 96 | u128::from(bits));
        prop_assert_eq!(is_public(translated.into()), public);
        let compatible = Ipv6Addr::from_bits(u128::from(bits));
        prop_assert!(!is_public(IpAddr::V6(compatible)));
    }

    #[test]
    fn only_global_unicast_is_public_in_ipv6(bits: u128, top in 0..8u128) {
        let address = Ipv6Addr::from_bits(bits >> 3 | top << 125);
        prop_assert!(top == 1 || !is_public(address.into()) || address.to_ipv4_mapped().is_some());
    }

    #[test]
    fn an_entry_reads_back_what_it_shows(
        scheme in "http|https|\\*",
        host in "\\*|(\\*\\.)?[a-z]{1,4}\\.[a-z]{1,3}|10\\.0\\.0\\.[1-9]|\\[fd00::[1-9]\\]",
        port in "|:\\*|:[1-9][0-9]{0,3}|:80\\.\\.9[0-9]{3}",
    ) {
        let entry = AllowedHost::parse(&format!("{scheme}://{host}{port}")).unwrap();
        prop_assert_eq!(AllowedHost::parse(&entry.to_string()), Ok(entry));
    }

    #[test]
    fn more_entries_never_permit_less(
        entries in prop::collection::vec("(http|\\*)://(\\*|(\\*\\.)?a\\.b|10\\.0\\.0\\.1)(:\\*|:8[0-9])?", 0..6),
        host in "a\\.b|x\\.a\\.b|10\\.0\\.0\\.1|c\\.d",
        port in 79..91u16,
    ) {
        let level = |entries: &[String]| {
            let entries: Vec<_> = entries.iter().map(String::as_str).collect();
            match policy(&entries).permits("http", &host, port) {
                OutboundDecision::Denied => 0,
                OutboundDecision::Allowed { is_named: false } => 1,
                OutboundDecision::Allowed { is_named: true } => 2,
            }
        };
        let reversed: Vec<_> = entries.iter().rev().cloned().collect();
        prop_assert_eq!(level(&entries), level(&reversed));
        for fewer in 0..entries.len() {
            prop_assert!(level(&entries[..fewer]) <= level(&entries));
        }
    }

    #[test]
    fn no_text_makes_an_entry_panic(text in "\\PC{0,20}|(http|\\*)://[a-c*.:\\[\\]0-9/]{0,12}") {
        let policy = OutboundPolicy::new(AllowedHost::parse(&text).into_iter().collect());
        let _verdict = policy.permits("http", &text, 80);
    }
}

fn check_networks(texts: &[&str], expect: &Expect) {
    let shown = |text: &&str| match PrivateNetworks::parse(text) {
        Ok(networks) => networks.to_string(),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&texts.iter().map(shown).collect::<Vec<_>>().join("\n"));
}

#[test]
fn networks_are_read_strictly_and_shown_as_they_are_written() {
    check_networks(
        &["none", "", "10.0.0.0/8, 192.168.1.7", "fd00::/8,::1", "0.0.0.0/0", "::/0"],
        &expect![[r#"
            none
            none
            10.0.0.0/8,192.168.1.7/32
            fd00::/8,::1/128
            0.0.0.0/0
            ::/0"#]],
    );
    check_networks(
        &[
            "all",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0/8",
            "::ffff:10.0.0.1",
            "169.254.0.0/16",
            "169.254.169.254",
            "fe80::/10",
            "0.0.0.0",
            "8.8.8.8",
        ],
        &expect![[r#"
            "all" is no network: expected an address, or ADDRESS/BITS such as 10.0.0.0/8; write networks with commas between, or none
            "10.0.0.1/8" is no network: bits are set beyond its prefix; write networks with commas between, or none
            "10.0.0.0/33" is no network: it has more bits than an address; write networks with commas between, or none
            "10.0.0.0/-1" is no network: the bits behind the slash are no number; write networks with commas between, or none
            "10.0.0/8" is no network: expected an address, or ADDRESS/BITS such as 10.0.0.0/8; write networks with commas between, or none
            ::ffff:10.0.0.1/128 means IPv4 addresses; write them as such
            169.254.0.0/16 stays closed: guests never reach link-local, unspecified and multicast addresses and clouds' metadata services
            169.254.169.254/32 stays closed: guests never reach link-local, unspecified and multicast addresses and clouds' metadata services
            fe80::/10 stays closed: guests never reach link-local, unspecified and multicast addresses and clouds' metadata services
            0.0.0.0/32 stays closed: guests never reach link-local, unspecified and multicast addresses and clouds' metadata services
            8.8.8.8/32"#]],
    );
}

/// Judges addresses that the manifest names or does not, under networks that were opened: a column for
/// each of these cases.
fn check_addresses(cases: &[(&str, bool)], addresses: &[&str], expect: &Expect) {
    let judged = |address: &str, (opened, is_named): &(&str, bool)| {
        let opened = PrivateNetworks::parse(opened).unwrap();
        match judge_address(address.parse().unwrap(), *is_named, &opened) {
            Ok(()) => "permitted".to_owned(),
            Err(Denial::NotNamed(_)) => "not named".to_owned(),
            Err(Denial::Private(_)) => "not opened".to_owned(),
            Err(Denial::Never(_)) => "never".to_owned(),
            Err(other) => format!("{other:?}"),
        }
    };
    let line = |address: &&str| {
        let columns: Vec<_> = cases.iter().map(|case| judged(address, case)).collect();
        format!("{address}: {}", columns.join(", "))
    };
    expect.assert_eq(&addresses.iter().map(line).collect::<Vec<_>>().join("\n"));
}

const ADDRESSES: [&str; 14] = [
    "93.184.216.34",
    "2606:2800:220:1::1",
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "10.1.2.3",
    "192.168.0.1",
    "fd00::1",
    "100.64.0.1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fd00:ec2::254",
    "0.0.0.0",
];

#[test]
fn private_addresses_need_the_manifest_and_the_operator() {
    // Named and none opened; named and some opened; all opened and not named.
    let cases =
        [("none", true), ("127.0.0.0/8,10.0.0.0/8,fd00::/8", true), ("0.0.0.0/0,::/0", false)];
    let expected = expect![[r"
        93.184.216.34: permitted, permitted, permitted
        2606:2800:220:1::1: permitted, permitted, permitted
        127.0.0.1: not opened, permitted, not named
        ::1: not opened, not opened, not named
        ::ffff:127.0.0.1: not opened, permitted, not named
        10.1.2.3: not opened, permitted, not named
        192.168.0.1: not opened, not opened, not named
        fd00::1: not opened, permitted, not named
        100.64.0.1: not opened, not opened, not named
        169.254.169.254: never, never, never
        ::ffff:169.254.169.254: never, never, never
        64:ff9b::a9fe:a9fe: never, never, never
        fd00:ec2::254: never, never, never
        0.0.0.0: never, never, never"]];
    check_addresses(&cases, &ADDRESSES, &expected);
}

#[test]
fn a_denial_says_who_can_lift_it_and_how() {
    let wanted = "http://127.0.0.1:9901";
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    let told = |denial: Denial| {
        format!("{denial}; {}", denial.advice(wanted).unwrap_or_else(|| "nobody".to_owned()))
    };
    expect![[r#"
        its manifest does not allow that; add "http://127.0.0.1:9901" to allowed_outbound_hosts in the app's manifest
        it leads to 127.0.0.1, which is private and not named in its manifest; a wildcard never covers private addresses: add "http://127.0.0.1:9901" itself to allowed_outbound_hosts, and let the host's operator open the network with --outbound-private
        it leads to 127.0.0.1, which is private and not opened by the operator; the host's operator opens a private network to apps whose manifest names the host: --outbound-private 127.0.0.1, or [outbound] private = "127.0.0.1" in its file
        it leads to 127.0.0.1, a kind of address that no guest reaches; nobody
        it leads to the admin address of the host itself; nobody"#]]
    .assert_eq(
        &[
            told(Denial::NotListed),
            told(Denial::NotNamed(address)),
            told(Denial::Private(address)),
            told(Denial::Never(address)),
            told(Denial::Own(OwnDoor::Admin)),
        ]
        .join("\n"),
    );
}

proptest! {
    /// Whatever an operator opens, what no guest reaches stays closed, and public stays open.
    #[test]
    fn opening_networks_opens_private_addresses_only(bits: u32, named: bool) {
        let all = PrivateNetworks::parse("0.0.0.0/0,::/0").unwrap();
        let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
        let (closed, open) = (
            judge_address(address, named, &PrivateNetworks::default()),
            judge_address(address, named, &all),
        );
        match closed {
            Ok(()) => prop_assert_eq!(open, Ok(())),
            Err(Denial::Private(_)) => prop_assert_eq!(open, Ok(())),
            Err(denial) => prop_assert_eq!(open, Err(denial)),
        }
    }
}

#[test]
fn a_block_of_addresses_names_its_network_and_nothing_beside_it() {
    check_parse(
        &[
            "*://127.0.0.1/24:8000",
            "tcp://[fd00::1]/8:5432",
            "http://10.0.0.0/33",
            "http://[::]/129",
            "http://10.0.0.0/x",
            "http://10.0.0.0/+8",
            "http://10.0.0.0/:80",
            "http://[::ffff:10.0.0.0]/104",
            "tcp://10.0.0.0/8",
            "tcp://db.example.com",
            "redis://db.example.com",
            "http://10.0.0.1/",
            "http://example.com/8",
        ],
        &expect![[r#"
            *://127.0.0.0/24:8000
            tcp://[fd00::]/8:5432
            "http://10.0.0.0/33" is not an allowed host: what follows an address is how many bits a block of them shares: 0 to 32, 128 for IPv6
            "http://[::]/129" is not an allowed host: what follows an address is how many bits a block of them shares: 0 to 32, 128 for IPv6
            "http://10.0.0.0/x" is not an allowed host: what follows an address is how many bits a block of them shares: 0 to 32, 128 for IPv6
            "http://10.0.0.0/+8" is not an allowed host: what follows an address is how many bits a block of them shares: 0 to 32, 128 for IPv6
            "http://10.0.0.0/:80" is not an allowed host: what follows an address is how many bits a block of them shares: 0 to 32, 128 for IPv6
            "http://[::ffff:10.0.0.0]/104" is not an allowed host: what follows an address is how many bits a block of them shares: 0 to 32, 128 for IPv6
            "tcp://10.0.0.0/8" is not an allowed host: tcp has no port of its own: add one, such as :5432
            "tcp://db.example.com" is not an allowed host: tcp has no port of its own: add one, such as :5432
            redis://db.example.com
            http://10.0.0.1
            "http://example.com/8" is not an allowed host: a whole host is allowed or not; leave out the path"#]],
    );
    check_verdicts(
        &["*://127.0.0.0/24:8000", "tcp://[fd00::]/8:5432", "http://0.0.0.0/1", "redis://db"],
        &[
            "tcp 127.0.0.255 8000",
            "http 127.0.0.1 8000",
            "http ::ffff:127.0.0.1 8000",
            "tcp 127.0.1.0 8000",
            "tcp 127.0.0.1 8001",
            "tcp localhost 8000",
            "tcp fdff::1 5432",
            "http fdff::1 5432",
            "http 10.0.0.1 80",
            "http 192.168.0.1 80",
            "redis db 6379",
            "tcp db 6379",
            "* db 6379",
        ],
        &expect![[r#"
            tcp 127.0.0.255 8000: allowed, also privately
            http 127.0.0.1 8000: allowed, also privately
            http ::ffff:127.0.0.1 8000: allowed, also privately
            tcp 127.0.1.0 8000: denied
            tcp 127.0.0.1 8001: denied
            tcp localhost 8000: denied
            tcp fdff::1 5432: allowed, also privately
            http fdff::1 5432: denied
            http 10.0.0.1 80: allowed, publicly
            http 192.168.0.1 80: denied
            redis db 6379: allowed, also privately
            tcp db 6379: denied
            * db 6379: denied"#]],
    );
}
