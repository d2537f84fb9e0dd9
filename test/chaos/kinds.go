package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// kind is a sort of fault.
type kind struct {
	name string
	// oneOf is among how many replicas one is drawn, zero if it is about none; with
	// orAll it may befall all of them instead.
	oneOf int
	orAll bool
	// amounts are what one is drawn of for the fault.
	amounts []time.Duration
	// starves is whether the sidecars of a cluster that it befalls get no tokens, or
	// cannot write them, while it is in force on all replicas.
	starves bool
	// begin brings the fault about; end is what takes it away.
	begin func(ctx context.Context, s *site, f fault) (end func(context.Context) error, err error)
}

// replicas is how many there are of each part of the product.
const replicas = 2

// How long faults last. At the longest that is less than the 18 s that are left of
// a token of a minute when it is to be refreshed at the latest; but what befalls
// one of several replicas must not matter, however long, and a token that is to be
// refreshed in the middle of that would not live to its end.
const (
	shortest   = 2 * time.Second
	longest    = 10 * time.Second
	longestOne = 30 * time.Second
)

// longest is how long a fault of the kind lasts at most.
func (k kind) longest(replica int) time.Duration {
	if replica != all {
		return longestOne
	}
	return longest
}

// shifts are how far clocks go wrong: a sixth of a token's life. The product takes
// five minutes for tokens of an hour, which is a twelfth.
var shifts = []time.Duration{-10 * time.Second, -5 * time.Second, 5 * time.Second, 10 * time.Second}

// delays are how long each piece of an issuer's answer is held back; a handshake
// and an answer are two or three of them.
var delays = []time.Duration{300 * time.Millisecond, time.Second, 2 * time.Second}

// storageKinds befall the storage side, and so every compute cluster.
func storageKinds() []kind {
	return []kind{
		{name: "issuer-kill", oneOf: replicas, orAll: true, starves: true, begin: kill(issuers)},
		{name: "issuer-freeze", oneOf: replicas, orAll: true, starves: true, begin: freeze(issuers)},
		{name: "issuer-slow", amounts: delays, begin: slowIssuer},
		{name: "issuer-refused", starves: true, begin: refuseIssuer},
		{name: "issuer-cut", starves: true, begin: cutIssuer},
		{name: "issuer-clock", amounts: shifts, begin: shiftIssuer},
		{name: "audit-disk-full", oneOf: replicas, orAll: true, starves: true, begin: fillDisk},
		{name: "sdk-hang", starves: true, begin: hangSDK},
		{name: "sdk-refused", starves: true, begin: refuseSDK},
	}
}

// computeKinds befall one compute cluster.
func computeKinds() []kind {
	return []kind{
		{name: "webhook-kill", oneOf: replicas, orAll: true, begin: kill(webhooks)},
		{name: "webhook-freeze", oneOf: replicas, orAll: true, begin: freeze(webhooks)},
		{name: "sidecar-kill", oneOf: replicas, orAll: true, starves: true, begin: kill(sidecars)},
		{name: "sidecar-freeze", oneOf: replicas, orAll: true, starves: true, begin: freeze(sidecars)},
		{name: "sidecar-clock", amounts: shifts, begin: shiftSidecar},
		{name: "apiserver-restart", starves: true, begin: kill(apiServer)},
		{name: "etcd-restart", starves: true, begin: kill(etcd)},
	}
}

// kindNamed finds a kind by its name; the names come from a schedule.
func kindNamed(name string) kind {
	kinds := slices.Concat(storageKinds(), computeKinds())
	return kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })]
}

// lanesOf are the lanes of a site with these compute clusters, with the kinds of
// these names alone, separated by commas; with all of them if there are none.
func lanesOf(clusters []string, names string) ([]lane, error) {
	lanes := []lane{{storageLane, storageKinds()}}
	for _, name := range clusters {
		lanes = append(lanes, lane{name, computeKinds()})
	}
	if names == "" {
		return lanes, nil
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		known := func(k kind) bool { return k.name == name }
		if !slices.ContainsFunc(slices.Concat(storageKinds(), computeKinds()), known) {
			return nil, fmt.Errorf("there is no fault %q", name)
		}
		wanted[name] = true
	}
	for i := range lanes {
		lanes[i].kinds = slices.DeleteFunc(lanes[i].kinds, func(k kind) bool { return !wanted[k.name] })
	}
	return lanes, nil
}

// kindNames are those of all faults.
func kindNames() []string {
	var names []string
	for _, k := range slices.Concat(storageKinds(), computeKinds()) {
		names = append(names, k.name)
	}
	return names
}
