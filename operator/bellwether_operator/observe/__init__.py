"""What is there: the operator's own picture of systems and their children, fed by watches."""
