// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The private values of the congestion control. See the parent module.

#[rustfmt::skip]
macro_rules! algorithm {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

    /// Bottleneck bandwidth as BBR estimates it.
    bbr_bw {
        ty: U64, unit: "byte/s", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "bbr_bandwidth(tp, ca)"),
    }
    /// Smallest round-trip time as BBR estimates it.
    bbr_min_rtt {
        ty: U32, unit: "us", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "((const struct bbr *)ca)->min_rtt_us"),
    }
    /// Pacing gain, 256 being 1.
    bbr_pacing_gain {
        ty: U32, unit: "1/256", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "bbr_gain(ca, true)"),
    }
    /// Gain of the congestion window, 256 being 1.
    bbr_cwnd_gain {
        ty: U32, unit: "1/256", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "bbr_gain(ca, false)"),
    }
    /// 1 while Vegas decides.
    vegas_enabled {
        ty: U8, unit: "", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->doing_vegas_now"),
    }
    /// Round-trip times measured in the last round.
    vegas_rttcnt {
        ty: U32, unit: "", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->cntRTT"),
    }
    /// Smallest round-trip time of the connection.
    vegas_rtt {
        ty: U32, unit: "us", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->baseRTT"),
    }
    /// Smallest round-trip time of the last round.
    vegas_minrtt {
        ty: U32, unit: "us", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->minRTT"),
    }
    /// 1 while the last segment had the CE mark.
    dctcp_ce_state {
        ty: U32, unit: "", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_dctcp(r)", "((const struct dctcp *)ca)->ce_state"),
    }
    /// Share of marked data, 1024 being all.
    dctcp_alpha {
        ty: U32, unit: "1/1024", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_dctcp(r)", "((const struct dctcp *)ca)->dctcp_alpha"),
    }
    /// Data acknowledged with ECE in this window.
    dctcp_ab_ecn {
        ty: U32, unit: "bytes", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If(
            "is_dctcp(r)",
            "tp->mss_cache * (tp->delivered_ce - ((const struct dctcp *)ca)->old_delivered_ce)",
        ),
    }
    /// Data acknowledged in this window.
    dctcp_ab_tot {
        ty: U32, unit: "bytes", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If(
            "is_dctcp(r)",
            "tp->mss_cache * (tp->delivered - ((const struct dctcp *)ca)->old_delivered)",
        ),
    }

} };
}
