package memstore_test

import (
	"testing"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
	"example.com/sessions/internal/session/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) session.Store { return memstore.New() })
}
