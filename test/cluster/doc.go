// Package cluster runs real clusters on loopback for tests and the demo: one
// storage cluster, any number of compute clusters, and the product's own
// binaries in them, all as processes of the calling user. Nothing it starts
// outlives the calling process, however that ends. Linux only.
//
// A test or program calls [Build] once, then [New], and then the steps in their
// order: [Environment.StartStorage], [Environment.SetUpStorage], and for each
// compute cluster [Environment.StartCompute], [Environment.Register] and
// [Environment.Install]. [Environment.Stop] ends it all.
package cluster
