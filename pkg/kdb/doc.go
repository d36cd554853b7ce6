// Package kdb is a KDC database on disk: it takes a dump of it, loads a dump
// into it, keeps the files around a dump as MIT's programs do, and tells
// whether a stash opens a database's master keys.
package kdb
