package sync

import (
	"fmt"
	"testing"
)

// What is tested with four workers holds with any number of them.
func TestWithAnyNumberOfWorkers(t *testing.T) {
	defer func(n int) { rigWorkers = n }(rigWorkers)
	for _, n := range []int{1, 8, 64} {
		rigWorkers = n
		for name, test := range map[string]func(*testing.T){
			"every call arrives once":  TestEveryCallArrivesOnce,
			"the order of a contact":   TestContactsKeepTheirOrder,
			"a frozen revision":        TestAttemptedRevisionIsFrozen,
			"a newer revision":         TestRevisionSupersedesWhatWasNeverAttempted,
			"transcripts":              TestTranscriptFollows,
			"a refused call":           TestRefusedCallIsADeadLetterAndHoldsUpNobody,
			"refused credentials":      TestRefusedCredentialsHaltTheDestination,
			"the same error":           TestSameErrorForCallAfterCallHalts,
			"a sort of job is refused": TestRefusedSortOfJobHalts,
			"a sick destination":       TestSickDestinationIsProbedNotHammered,
			"a sick contact":           TestOneSickContactHoldsUpNoOther,
			"a sick one of two":        TestSickDestinationSlowsNoOther,
			"postponed":                TestPostponedIsNoFailureOfTheDestination,
			"throttled":                TestThrottledWaitsAndCostsNoAttempt,
			"throttled for ever":       TestThrottledForEver,
			"throttled for long":       TestThrottledForLongOutlivesTheProcess,
			"failures that pass":       TestFailuresAreRetriedUntilTheyPass,
			"a panic":                  TestPanickingWriterEndsOnlyItsCall,
			"filters":                  TestFiltersTasksAndUnknownDispositions,
			"kept back":                TestCallsThatTheConfigurationKeepsBack,
			"stop":                     TestStopLetsWritesInFlightFinish,
			"forget":                   TestForgetBesideADelivery,
			"live before backfill":     TestALiveCallGoesBeforeABackfill,
			"a broken disk":            TestRunByHandEndsOnABrokenDisk,
		} {
			t.Run(fmt.Sprintf("%d/%s", n, name), test)
		}
	}
}
