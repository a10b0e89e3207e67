// Package drivers runs the store on real databases, with drivers from outside the
// standard library. It is a module of its own, so that the repository's module requires
// no driver.
package drivers

import (
	"context"
	"database/sql"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/sqlstore"
)

// openSQLite returns a store in a file, in a directory that is there.
func openSQLite(file string) (session.Store, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one writer at a time
	store := sqlstore.New(db, sqlstore.SQLite)
	return store, store.CreateTable(context.Background())
}

// openPostgres returns a store in the database of a URL, such as
// postgres://user:password@localhost:5432/name.
func openPostgres(url string) (session.Store, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(20) // of the server's 100
	db.SetMaxIdleConns(20)
	store := sqlstore.New(db, sqlstore.Postgres)
	return store, store.CreateTable(context.Background())
}
