"""Recipe dbmim: masked image modelling on EM volumes, with a mask that is drawn, biased or learned."""
