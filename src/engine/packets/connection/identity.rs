// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What the handshake fixes for the whole connection: numbers, sizes, and negotiated options.

use super::Connection;
use crate::engine::packets::segment::Segment;
use crate::engine::packets::state::{Agreed, Offer};
use crate::schema::Var;

impl Connection {
    /// Sets a value, or marks it as not known.
    fn set_if(&mut self, is_known: bool, var: Var, value: u64) {
        if is_known {
            self.set(var, value);
        } else {
            self.unread.push(var);
        }
    }

    /// Sets the result of an option's negotiation: NULL if no packet shows it, and lacking if the
    /// capture has cut the packet that would.
    fn set_negotiated(&mut self, is_read: bool, vars: &[Var], value: Option<u64>) {
        for &var in vars {
            match value {
                _ if !is_read => self.unread.push(var),
                Some(value) => self.set(var, value),
                None => {}
            }
        }
    }

    /// The number of segments that a segment is on the wire, where the largest payload is `mss`; what
    /// is counted in `vars` is not known where that is not.
    pub(super) fn counted(&mut self, s: &Segment, mss: fn(&Agreed) -> u32, vars: &[Var]) -> u64 {
        let Some(agreed) = self.agreed().filter(|a| !a.knows_mss()) else {
            return s.count(self.agreed().as_ref().map(mss));
        };
        if s.payload > agreed.surely_one() {
            self.unread.extend(vars);
        }
        s.count(None)
    }

    /// Sets everything that the handshake has fixed.
    pub(super) fn identify(&mut self) {
        const NONE: u64 = -1_i64 as u64;
        let shift = |s: Option<u8>| s.map_or(NONE, u64::from);
        if let Some(ours) = self.ours {
            let (mss, scale) = (ours.mss, ours.window_scale);
            // Linux always sends one: without it something on the way has taken it out.
            if let Some(mss) = mss {
                self.set(Var::MSSSent, u64::from(mss));
            } else if ours.cut {
                self.unread.push(Var::MSSSent);
            }
            self.set_if(ours.knows(scale.is_some()), Var::WinScaleSent, shift(scale));
        }
        if let Some(iss) = self.iss {
            self.set(Var::SndInitial, u64::from(iss.wrapping_add(1)));
        }
        if let Some(irs) = self.irs {
            self.set(Var::RecInitial, u64::from(irs.wrapping_add(1)));
        }
        if let Some(theirs) = self.theirs {
            let mss = theirs.mss;
            self.set_if(theirs.knows(mss.is_some()), Var::MSSRcvd, u64::from(mss.unwrap_or(0)));
        }
        let Some(agreed) = self.agreed() else { return };
        let Agreed { ours, theirs, .. } = agreed;
        // An option that we do not use is as good as none.
        let received = ours.window_scale.and(theirs.window_scale);
        let knows_shifts = agreed.knows_shifts();
        self.set_if(knows_shifts, Var::WinScaleRcvd, shift(received));
        if !knows_shifts {
            // The last needs the largest window; see DSACKs.
            self.unread.extend([Var::CurRwinSent, Var::CurRwinRcvd, Var::DSACKDups]);
        }
        // Which end did without it is in the value, too.
        let both = |is_there: fn(&Offer) -> bool| {
            [&ours, &theirs].iter().all(|offer| offer.knows(is_there(offer)))
        };
        self.set_negotiated(
            both(|o| o.timestamps),
            &[Var::TimeStamps],
            agreed.negotiated_timestamps(),
        );
        let sack = agreed.negotiated_sack();
        self.set_negotiated(both(|o| o.sack), &[Var::WillSendSACK, Var::WillUseSACK], sack);
        self.set_negotiated(true, &[Var::ECN], agreed.negotiated_ecn());
        if agreed.is_accurate_ecn() {
            self.unread.extend([Var::ECNsignals, Var::CERcvd, Var::ECESent]);
        }
        self.set_if(agreed.knows_mss(), Var::CurMSS, u64::from(agreed.send_mss()));
    }
}
