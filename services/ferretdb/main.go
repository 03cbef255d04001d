// The MongoDB-compatible server that tests and development run: FerretDB as a library, on loopback, without telemetry.
// Its own command refuses to start when it is built as a module, which is the only reason this file exists.
// Usage: ferretdb -listen 127.0.0.1:PORT, with one of -postgresql URL and -sqlite FOLDER.
package main

import (
	"context"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:27017", "address to listen on")
	postgresql := flag.String("postgresql", "", "connection string of the PostgreSQL database that keeps the documents")
	sqlite := flag.String("sqlite", "", "folder of the SQLite files that keep the documents")
	flag.Parse()

	config := &ferretdb.Config{
		Listener: ferretdb.ListenerConfig{TCP: *listen},
		// A warning is every refused command with its whole reply: too much where tests provoke thousands.
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler: "postgresql",
	}
	config.PostgreSQLURL = *postgresql
	if *sqlite != "" {
		config.Handler = "sqlite"
		config.SQLiteURL = "file:" + strings.TrimSuffix(*sqlite, "/") + "/"
	}

	server, err := ferretdb.New(config)
	if err != nil {
		log.Fatal(err)
	}
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := server.Run(stopped); err != nil {
		log.Fatal(err)
	}
}
