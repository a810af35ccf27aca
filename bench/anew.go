package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/bench/internal/measure"
	"github.com/coatcheck/coatcheck/bench/internal/report"
	"github.com/coatcheck/coatcheck/bench/internal/site"
)

// measureAnew measures once more what has a target against the floor, with a
// new request for each visit: what site.Anew makes, which every server on
// net/http makes too. Beside the other tables, where requests cost next to
// nothing, it shows what a ratio comes to in a server; it replaces none of
// them. The work without a cookie is there for what the floor makes of it:
// that is what the new request costs. Three keys, serially, and only of those
// that the targets name.
func measureAnew(o options, r *report.Report, rounds int, each time.Duration) (map[site.Work]measure.Results, error) {
	var contenders []site.Contender
	for _, c := range chosen(o, site.Small, site.ReadOne) {
		if slices.Contains([]string{"floor", "floor with duties", "coatcheck", "scs"}, c.Name) {
			contenders = append(contenders, c)
		}
	}
	if len(contenders) == 0 {
		return nil, nil
	}
	r.Say("## With a new request for each visit\n")
	r.Say("All above uses one request again and again, so that next to nothing but the handler is measured. " +
		"Here each visit has a new one, for all contenders alike, as net/http's server makes it for each request that it reads: the request, its header, and the header of the answer. " +
		"Nothing is read or parsed, so a server spends more than this. What that costs is the floor's row of \"no cookie\".\n")
	all := map[site.Work]measure.Results{}
	for _, work := range []site.Work{site.NoCookie, site.Untouched, site.ReadOne, site.WriteOne, site.SignIn} {
		subjects := make([]measure.Subject, len(contenders))
		for i, c := range contenders {
			subjects[i] = requestSubject(c, site.Small, work, site.Anew)
		}
		results, err := measure.Compare(subjects, rounds, each, 1)
		if err != nil {
			return nil, err
		}
		all[work] = results
		title := "With a new request: " + string(work)
		head, rows := requestTable(contenders, results)
		r.Table(title, head, rows)
		fmt.Fprintln(os.Stderr, title)
		for _, row := range rows {
			fmt.Fprintf(os.Stderr, "  %-18s %s\n", row[0], strings.Join(row[1:], "  "))
		}
		name := strings.Replace(benchmarkName(work, site.Small, 1), "Request/", "NewRequest/", 1)
		if err := results.Benchstat(&r.Samples, name, names(contenders)); err != nil {
			return nil, err
		}
	}
	return all, nil
}
