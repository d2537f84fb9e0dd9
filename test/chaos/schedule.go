package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// firstFault is when the first fault of a lane comes at the earliest.
	firstFault = 3 * time.Second
	// Between two faults of a lane lies room for it to recover, which is long enough
	// to be seen: the backoff before the issuer begins at a second and doubles.
	leastRoom = 8 * time.Second
	mostRoom  = 14 * time.Second
)

// fault is one fault of a schedule.
type fault struct {
	// Kind is a kind's name.
	Kind string
	// Lane is what it befalls: the storage side, or a compute cluster by its name.
	Lane string
	// Replica is the number of the one that it befalls, from 1, or all.
	Replica int
	// At is when it comes, counted from the first moment of the schedule, and Lasts
	// how long it is in force.
	At, Lasts time.Duration
	// Amount is what the kind makes of it, such as how far a clock is shifted.
	Amount time.Duration
}

// all befalls every replica at once.
const all = 0

func (f fault) String() string {
	what := f.Kind
	if f.Replica != all {
		what += fmt.Sprintf(" of replica %d", f.Replica)
	} else if kindNamed(f.Kind).oneOf > 0 {
		what += " of all replicas"
	}
	if f.Amount != 0 {
		what += fmt.Sprintf(" by %v", f.Amount)
	}
	return fmt.Sprintf("%6.1f s  %-7s  %s for %.1f s", f.At.Seconds(), f.Lane, what, f.Lasts.Seconds())
}

// lane is a part of the site in which one fault at a time is in force. Faults of
// different lanes meet as they like.
type lane struct {
	name  string
	kinds []kind
}

// schedule draws the faults of a run, in the order in which they come. It depends
// on its arguments alone. Each lane goes through all its kinds before one comes
// again, each time in another order.
func schedule(seed uint64, length time.Duration, lanes []lane) []fault {
	var faults []fault
	for i, l := range lanes {
		if len(l.kinds) == 0 {
			continue
		}
		chance := rand.New(rand.NewPCG(seed, uint64(i)))
		var deck []int
		for at := firstFault + between(chance, 0, leastRoom); ; {
			if len(deck) == 0 {
				deck = chance.Perm(len(l.kinds))
			}
			k := l.kinds[deck[0]]
			deck = deck[1:]
			f := fault{Kind: k.name, Lane: l.name, At: at}
			switch {
			case k.oneOf > 0 && k.orAll:
				f.Replica = chance.IntN(k.oneOf + 1)
			case k.oneOf > 0:
				f.Replica = 1 + chance.IntN(k.oneOf)
			}
			f.Lasts = between(chance, shortest, k.longest(f.Replica))
			if len(k.amounts) > 0 {
				f.Amount = k.amounts[chance.IntN(len(k.amounts))]
			}
			if f.At+f.Lasts > length {
				break
			}
			faults = append(faults, f)
			at = f.At + f.Lasts + between(chance, leastRoom, mostRoom)
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return faults
}

// between draws a time, in whole tenths of a second.
func between(chance *rand.Rand, least, most time.Duration) time.Duration {
	const step = 100 * time.Millisecond
	return least + time.Duration(chance.Int64N(int64((most-least)/step)+1))*step
}
